//! A decoder's side: shuts itself off, then decodes what it is sent until nobody sends any more.

#![allow(unsafe_code)]

use super::wire::{self, Job, Reply, Settings, Started};
use crate::{process, sandbox};
use clip::{Error, Preprocessor, Thumbnail};
use std::alloc::{GlobalAlloc, Layout, System};
use std::fs::File;
use std::io::{self, BufReader};
use std::os::fd::{AsRawFd, FromRawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// How a decoder ends whose image takes too much memory.
pub(super) const STATUS_MEMORY: i32 = 5;
/// After so many milliseconds without an image, memory that was freed goes back to the operating system.
const REST_MS: i32 = 1000;
/// Longest head of a frame from the server, which is trusted.
const MAX_HEAD: usize = 1 << 20;
/// Read at once where there is as much: a group of images.
const READ_BYTES: usize = 64 << 10;

static IS_DECODER: AtomicBool = AtomicBool::new(false);

/// The allocator of the program. In a decoder, an allocation that fails ends the process with a status of its own, so that
/// the server knows what to tell.
pub struct Allocator;

fn checked(pointer: *mut u8) -> *mut u8 {
    if pointer.is_null() && IS_DECODER.load(Relaxed) {
        process::leave(STATUS_MEMORY);
    }
    pointer
}

// SAFETY: every call goes to the system's allocator unchanged; what is done on failure allocates nothing.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as promised by the caller.
        checked(unsafe { System.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as promised by the caller.
        checked(unsafe { System.alloc_zeroed(layout) })
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as promised by the caller.
        checked(unsafe { System.realloc(pointer, layout, size) })
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as promised by the caller.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Decodes what comes on standard input, a socket, until its end.
pub fn run() -> ! {
    process::prepare_decoder_process();
    // What a panic says is caught, and its place in the code helps nobody here; a backtrace would open files.
    std::panic::set_hook(Box::new(|_| {}));
    // SAFETY: standard input is open, and used by nobody else in this process.
    let stream = unsafe { File::from_raw_fd(0) };
    match serve(&stream) {
        Ok(()) => process::leave(process::STATUS_DONE),
        Err(_) => process::leave(process::STATUS_FAILED),
    }
}

fn serve(mut stream: &File) -> io::Result<()> {
    let mut requests = BufReader::with_capacity(READ_BYTES, stream);
    let Some((settings, _)) = wire::receive::<Settings>(&mut requests, MAX_HEAD, 0)? else { return Ok(()) };
    clip::prepare_decoders();
    process::keep_freed_memory();
    process::limit_memory(settings.limits.memory());
    let missing = if settings.sandbox { sandbox::enter_decoder().err() } else { None };
    wire::send(&mut stream, &Started { missing }, &[&[]])?;
    IS_DECODER.store(true, Relaxed);
    loop {
        if requests.buffer().is_empty() && !process::is_readable(stream.as_raw_fd(), REST_MS) {
            process::trim_memory();
        }
        let Some((job, image)) = wire::receive::<Job>(&mut requests, MAX_HEAD, settings.limits.max_bytes)? else {
            return Ok(());
        };
        let (reply, body) = catch_unwind(AssertUnwindSafe(|| work(&job, &image, &settings))).unwrap_or_else(|_| {
            let reason = "the decoder failed on it".to_owned();
            (Reply::Failed(Error::CorruptImage { format: "this".to_owned(), reason }), Vec::new())
        });
        wire::send(&mut stream, &reply, &[&body])?;
    }
}

fn packed(made: clip::Frames) -> (Reply, Vec<u8>) {
    let mut body = Vec::with_capacity(made.frames.iter().flat_map(|frame| &frame.png).map(Vec::len).sum());
    let head = |frame: clip::Frame| {
        let length = frame.png.as_ref().map(|png| png.len() as u32);
        body.extend(frame.png.unwrap_or_default());
        (frame.number, frame.delay_ms, length)
    };
    let frames = made.frames.into_iter().map(head).collect();
    (Reply::Frames { frames, next: made.next, damage: made.damage }, body)
}

fn work(job: &Job, image: &[u8], settings: &Settings) -> (Reply, Vec<u8>) {
    let limits = &settings.limits;
    let done = match job {
        Job::Pixels { spec, reading } => {
            let preprocessor = Preprocessor::of(spec.clone()).with_reading(*reading);
            preprocessor.pixels(image, limits).map(|(pixels, damage)| (Reply::Pixels { damage }, pixels))
        }
        Job::Thumbnail { max_side, on_truncated } => {
            clip::thumbnail(image, *max_side, limits, *on_truncated).map(|made| match made {
                Thumbnail::Jpeg(bytes) => (Reply::Jpeg, bytes),
                Thumbnail::Png(bytes) => (Reply::Png, bytes),
            })
        }
        Job::Info => {
            let clip::ImageInfo { format, width, height, orientation, frames, has_alpha, error } =
                clip::image_info(image, limits);
            let format = format.map(str::to_owned);
            let info = protocol::ImageInfo { format, width, height, orientation, frames, has_alpha, error };
            Ok((Reply::Info(info), Vec::new()))
        }
        Job::Frames { range, reading } => clip::frames(image, limits, *reading, *range).map(packed),
    };
    done.unwrap_or_else(|error| (Reply::Failed(error), Vec::new()))
}
