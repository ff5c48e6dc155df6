//! Embeddings of texts that were asked for before: people search for the same words.
//!
//! The key is who asks, the model as it was read from its files, and the text's tokens: texts that differ in case or spaces only
//! are one, and a model whose files were replaced is another. (A fingerprint of the files would do the same, at the price
//! of reading a gigabyte before the first answer.)

use crate::class::Key;
use quick_cache::{Weighter, sync::Cache};
use std::sync::Arc;

/// What an entry takes beside its vector: key, counts, and places in tables.
const OVERHEAD: u64 = 150;

#[derive(Clone)]
struct Bytes;

impl Weighter<Key, Arc<[f32]>> for Bytes {
    fn weight(&self, _: &Key, vector: &Arc<[f32]>) -> u64 {
        OVERHEAD + size_of_val(&**vector) as u64
    }
}

/// Embeddings of at most so many bytes; the ones that are asked for seldom go first.
pub(crate) struct TextCache(Option<Cache<Key, Arc<[f32]>, Bytes>>);

impl TextCache {
    /// With 0 bytes, nothing is remembered.
    pub(crate) fn new(bytes: u64) -> Self {
        // An estimate, for 512 dimensions.
        let entries = (bytes / (OVERHEAD + 2048)).clamp(16, 1 << 20) as usize;
        Self((bytes > 0).then(|| Cache::with_weighter(entries, bytes, Bytes)))
    }

    pub(crate) fn get(&self, key: &Key) -> Option<Arc<[f32]>> {
        self.0.as_ref()?.get(key)
    }

    pub(crate) fn put(&self, key: Key, vector: Arc<[f32]>) {
        if let Some(cache) = &self.0 {
            cache.insert(key, vector);
        }
    }

    /// Bytes in use.
    pub(crate) fn bytes(&self) -> u64 {
        self.0.as_ref().map_or(0, Cache::weight)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u32) -> Key {
        (7, *blake3::hash(&number.to_le_bytes()).as_bytes())
    }

    #[test]
    fn stays_within_its_bytes() {
        let cache = TextCache::new(1 << 20);
        for number in 0..10_000 {
            cache.put(key(number), vec![number as f32; 512].into());
            assert!(cache.bytes() <= 1 << 20);
        }
        assert!(cache.bytes() > 1 << 19, "it is used");
        let kept = (0..10_000).filter_map(|number| Some((number, cache.get(&key(number))?)));
        assert!(kept.inspect(|(number, vector)| assert_eq!(vector[0], *number as f32)).count() > 100);
    }

    #[test]
    fn of_no_bytes_remembers_nothing() {
        let cache = TextCache::new(0);
        cache.put(key(1), vec![1.0; 4].into());
        assert!(cache.get(&key(1)).is_none() && cache.bytes() == 0);
    }

    #[test]
    fn models_do_not_share() {
        let cache = TextCache::new(1 << 20);
        cache.put((1, key(1).1), vec![1.0; 4].into());
        assert!(cache.get(&(2, key(1).1)).is_none() && cache.get(&(1, key(1).1)).is_some());
    }
}
