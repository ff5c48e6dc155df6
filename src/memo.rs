//! The backend's memo of its latest embeddings.
//!
//! A plan may evaluate `clip_embed_text('…')` once for each row (a sequential scan with a STABLE function in ORDER BY
//! does). The memo makes that one inference, whatever the plan. It is small: it is not the cache of the server, it only
//! has to hold what one statement asks again and again, also where batches of some hundred others come in between.

use crate::{scope, settings};
use lru::LruCache;
use std::cell::{Cell, RefCell};
use std::num::NonZeroUsize;
use std::rc::Rc;

/// Vectors that are remembered: of 512 dimensions they take 2 MiB.
pub const ENTRIES: NonZeroUsize = NonZeroUsize::new(1024).unwrap();

thread_local! {
    static MEMO: RefCell<LruCache<Key, Rc<[f32]>>> = RefCell::new(LruCache::new(ENTRIES));
    /// How often everything was forgotten.
    static GENERATION: Cell<u64> = const { Cell::new(0) };
    /// The statement that everything is remembered for, and no other.
    static STATEMENT: Cell<Option<i64>> = const { Cell::new(None) };
}

/// BLAKE3 of everything that decides the vector: settings as of their last reload, model, modality, input. And of who asks:
/// in a pooled session, SET ROLE must not tell one user what another has searched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key([u8; 32]);

impl Key {
    /// The key of one input.
    pub fn new(model: &str, modality: Modality, input: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher
            .update(&[modality as u8])
            .update(&settings::loaded_at().to_le_bytes())
            .update(&scope::current().to_bytes());
        for part in [model.as_bytes(), input] {
            // The length keeps `("ab", "c")` and `("a", "bc")` apart.
            hasher.update(&part.len().to_le_bytes()).update(part);
        }
        Self(hasher.finalize().into())
    }
}

/// What is embedded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Modality {
    /// A text.
    Text = 0,
    /// An image.
    Image = 1,
}

/// The remembered vector, if there is one.
pub fn get(key: &Key) -> Option<Rc<[f32]>> {
    clear_if_of_another_statement();
    MEMO.with_borrow_mut(|memo| memo.get(key).cloned())
}

/// Remembers a vector, forgetting the least recently used one where there is no room.
pub fn put(key: Key, vector: Rc<[f32]>) {
    MEMO.with_borrow_mut(|memo| memo.put(key, vector));
}

/// Remembers what there is for the statement at hand alone: the server has other settings than this process. Within a statement,
/// both are right; a later one may want vectors of the new ones.
pub fn end_with_statement() {
    clear_if_of_another_statement();
    STATEMENT.set(Some(scope::statement()));
}

fn clear_if_of_another_statement() {
    if STATEMENT.get().is_some_and(|statement| statement != scope::statement()) {
        clear();
    }
}

/// Whether a later statement may use what is remembered.
pub fn is_lasting() -> bool {
    STATEMENT.get().is_none()
}

/// Changes whenever everything is forgotten: what was asked before is not to be remembered then.
pub fn generation() -> u64 {
    GENERATION.get()
}

/// Forgets everything: another server answers, perhaps with other files.
pub fn clear() {
    GENERATION.set(GENERATION.get() + 1);
    STATEMENT.set(None);
    MEMO.with_borrow_mut(LruCache::clear);
}
