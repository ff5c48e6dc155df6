//! Images that were dropped on the page: in memory, the oldest forgotten first.

use lru::LruCache;
use sha2::{Digest, Sha256};
use std::sync::{Arc, Mutex, PoisonError};

/// Longest image.
pub const MAX_BYTES: usize = 64 << 20;
/// Bytes of all.
const MAX_TOTAL: usize = 128 << 20;

/// By the hash of each.
#[derive(Default)]
pub struct Uploads {
    kept: Mutex<Kept>,
}

struct Kept {
    images: LruCache<String, Arc<Vec<u8>>>,
    /// Bytes of all.
    total: usize,
}

impl Default for Kept {
    fn default() -> Self {
        Self { images: LruCache::unbounded(), total: 0 }
    }
}

impl Uploads {
    /// Keeps an image; returns its name.
    pub fn keep(&self, image: Vec<u8>) -> String {
        let name: String = Sha256::digest(&image)[..12].iter().map(|byte| format!("{byte:02x}")).collect();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let Kept { images, total } = &mut *kept;
        *total += image.len();
        if let Some(same) = images.put(name.clone(), Arc::new(image)) {
            *total -= same.len();
        }
        while *total > MAX_TOTAL
            && let Some((_, oldest)) = images.pop_lru()
        {
            *total -= oldest.len();
        }
        name
    }

    /// The image of this name, if it is still there.
    pub fn find(&self, name: &str) -> Option<Arc<Vec<u8>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).images.get(name).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_first() {
        let uploads = Uploads::default();
        let names = [0, 1, 2].map(|byte| uploads.keep(vec![byte; MAX_TOTAL / 2]));
        assert!(uploads.find(&names[0]).is_none());
        assert!(uploads.find(&names[1]).is_some() && uploads.find(&names[2]).is_some());
        // The same once more is one.
        assert_eq!(uploads.keep(vec![2; MAX_TOTAL / 2]), names[2]);
        assert!(uploads.find(&names[1]).is_some());
    }
}
