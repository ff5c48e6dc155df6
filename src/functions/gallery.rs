//! `clip_gallery`, an aggregate: one HTML page with the images of a query.
//!
//! The states hold thumbnails and not images: what is in memory at a time is 32 MiB of images, of all groups
//! together, and some ten kilobytes for each of the others.

use super::arguments::Arguments;
use super::sql_function;
use crate::errors::{ArgumentError, Error, Result, is_the_images_fault};
use crate::{client, embedding, text};
use gallery::{Captioned, Image};
use pgrx::PgMemoryContexts;
use pgrx::pg_sys::{self, Datum};
use std::cell::Cell;

sql_function!(clip_gallery_add, pg_finfo_clip_gallery_add, add);
sql_function!(clip_gallery_page, pg_finfo_clip_gallery_page, page);

/// Longest side of an image on the page, in pixels: sharp on a screen with two pixels for each of the page's.
const SIDE: u32 = 384;
/// Images that are made small in one request, so that the server can use all its threads.
const BATCH: usize = 32;
/// Bytes of images that may wait for it, of all groups of a query together.
const BATCH_BYTES: usize = 32 << 20;
/// More are more than any browser likes.
const MOST: usize = 10_000;
/// The same, of the bytes of the small images and of what is written under them, as it will be on the page. The page, up to a
/// third longer, is in memory four times while it is made.
const MOST_BYTES: usize = 100 << 20;
/// Characters between two looks whether the query was cancelled.
const CHARACTERS: usize = 1 << 16;

thread_local! {
    static WAITING_BYTES: Cell<usize> = const { Cell::new(0) };
}

/// What has been gathered of one group.
#[derive(Default)]
struct State {
    title: Option<String>,
    images: Vec<Captioned>,
    /// Images that are still to be made small, with their place.
    waiting: Vec<(usize, Vec<u8>)>,
    waiting_bytes: usize,
    /// Bytes of the small images and of the texts.
    bytes: usize,
}

impl Drop for State {
    fn drop(&mut self) {
        self.forget_waiting();
    }
}

impl State {
    fn push(&mut self, image: Option<Vec<u8>>, caption: Option<String>, similarity: Option<f32>) -> Result<()> {
        // A caption is there twice: to be read, and to be read aloud in place of the image.
        self.bytes += 2 * caption.as_deref().map_or(0, written);
        self.check()?;
        let shown = match image {
            None => Image::Missing,
            Some(image) => match embedding::check_image_size(image.len()) {
                Err(error) => Image::Broken(error.to_string()),
                Ok(()) => {
                    self.waiting_bytes += image.len();
                    WAITING_BYTES.set(WAITING_BYTES.get() + image.len());
                    self.waiting.push((self.images.len(), image));
                    Image::Missing
                }
            },
        };
        self.images.push(Captioned { image: shown, caption, similarity });
        if self.waiting.len() >= BATCH || WAITING_BYTES.get() >= BATCH_BYTES { self.shrink() } else { Ok(()) }
    }

    fn check(&self) -> Result<()> {
        if self.images.len() == MOST || self.bytes > MOST_BYTES {
            return Err(ArgumentError::TooManyImages { max: MOST, mebibytes: MOST_BYTES >> 20 }.into());
        }
        Ok(())
    }

    fn forget_waiting(&mut self) {
        WAITING_BYTES.set(WAITING_BYTES.get().saturating_sub(std::mem::take(&mut self.waiting_bytes)));
    }

    /// Makes small what waits. An image that is none says why on the page, and does not spoil the others.
    fn shrink(&mut self) -> Result<()> {
        self.forget_waiting();
        let (places, images): (Vec<usize>, Vec<Vec<u8>>) = std::mem::take(&mut self.waiting).into_iter().unzip();
        if images.is_empty() {
            return Ok(());
        }
        for (place, made) in places.into_iter().zip(client::thumbnails(images, SIDE)?) {
            self.images[place].image = match made {
                Ok(small) => {
                    self.bytes += small.bytes.len();
                    let bytes = small.bytes.into_vec();
                    if small.is_png { Image::Png(bytes) } else { Image::Jpeg(bytes) }
                }
                Err(failure) if is_the_images_fault(failure.class) => Image::Broken(failure.message),
                Err(failure) => return Err(Error::Server(failure)),
            };
        }
        Ok(())
    }
}

/// state, image, caption, similarity [, title] → state
fn add(call: Arguments) -> Result<Datum> {
    let state = match call.datum(0) {
        Some(state) => state.cast_mut_ptr::<State>(),
        None => new_state(call),
    };
    // SAFETY: made by `new_state` for this group; nobody else has it during the call.
    let state = unsafe { &mut *state };
    if state.title.is_none() {
        state.title = call.text(4);
        state.bytes += 2 * state.title.as_deref().map_or(0, written);
    }
    state.push(call.bytes(1), call.text(2), call.real(3))?;
    Ok(Datum::from(std::ptr::from_mut(state)))
}

/// In the aggregate's memory: dropped with it, also where the query fails.
fn new_state(call: Arguments) -> *mut State {
    let mut context = std::ptr::null_mut();
    // SAFETY: the call at hand. Its context outlives the group.
    unsafe {
        let kind = pg_sys::AggCheckCallContext(call.0, &raw mut context);
        assert!(kind != 0, "called as part of an aggregate");
        PgMemoryContexts::For(context).leak_and_drop_on_delete(State::default())
    }
}

/// state → page. Without rows, a page that says so.
fn page(call: Arguments) -> Result<Datum> {
    let mut none = State::default();
    let state = match call.datum(0) {
        // SAFETY: as in `add`.
        Some(state) => unsafe { &mut *state.cast_mut_ptr::<State>() },
        None => &mut none,
    };
    state.shrink()?;
    let title = state.title.as_deref().unwrap_or("Gallery");
    Ok(text::to_datum(&ascii(&gallery::page(title, &state.images, check_for_interrupts))))
}

fn check_for_interrupts() {
    pgrx::check_for_interrupts!();
}

/// Bytes of a text on the page, where some characters are references.
fn written(text: &str) -> usize {
    let bytes = |character: char| match character {
        '&' | '<' | '>' | '"' => 6,
        character if character.is_ascii() => 1,
        // `&#1114111;`
        _ => 10,
    };
    text.chars().map(bytes).sum()
}

/// Characters beyond ASCII as references, so that the page is the same in every encoding that it may be sent or saved
/// in.
fn ascii(page: &str) -> String {
    let mut ascii = String::with_capacity(page.len());
    for (place, character) in page.chars().enumerate() {
        if place % CHARACTERS == 0 {
            check_for_interrupts();
        }
        if character.is_ascii() {
            ascii.push(character);
        } else {
            ascii.push_str(&format!("&#{};", u32::from(character)));
        }
    }
    ascii
}
