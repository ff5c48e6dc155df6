//! Decoders as the server uses them, and what becomes of images that are made to harm.

#![allow(unsafe_code)]

use clip::{Error, FrameRange, Limits, ModelName, ModelSpec, OnTruncated, Preprocessor, Reading};
use clip_search_server::decoder::{Decoder, Failed, Job, Patience, Reply, Settings};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

/// Never raised.
static WANTED: AtomicBool = AtomicBool::new(false);
/// Long enough for every good image.
const PATIENCE: Patience<'static> = Patience { limit: Duration::from_secs(60), abandoned: &WANTED };

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden")
}

fn preprocessor() -> Preprocessor {
    let name = ModelName::parse("golden/small").unwrap();
    Preprocessor::new(&ModelSpec::read(&golden().join("models/golden/small"), &name).unwrap())
}

fn job() -> Job {
    let preprocessor = preprocessor();
    let (spec, reading) = preprocessor.spec();
    Job::Pixels { spec: spec.clone(), reading }
}

fn settings() -> Settings {
    Settings { limits: Limits::default(), sandbox: true }
}

fn decoder() -> Decoder {
    Decoder::start(Path::new(env!("CARGO_BIN_EXE_clip-search-server")), &settings(), &WANTED).unwrap()
}

fn image(name: &str) -> Vec<u8> {
    fs::read(golden().join("images").join(name)).unwrap()
}

/// An image that takes a while, for its size: one bit for each pixel.
fn slow() -> Vec<u8> {
    let side = 9_400;
    let mut image = format!("P4\n{side} {side}\n").into_bytes();
    image.extend((0..side / 8 * side).map(|place| (place / 7) as u8));
    image
}

/// Asks for more than whoever ends it can miss; why it ended.
fn ask_for_long(decoder: &mut Decoder, patience: Patience<'_>) -> Failed {
    let slow = slow();
    decoder.ask_all(&job(), &[&slow[..]; 20], patience, |_, _| ()).unwrap_err()
}

fn field(pid: u32, name: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).expect(name);
    line.trim().to_owned()
}

fn is_gone(pid: u32) -> bool {
    !Path::new(&format!("/proc/{pid}")).exists()
}

/// Each golden image, as decoded here and there.
#[test]
fn answers_are_those_of_this_process() {
    let (mut decoder, preprocessor, limits) = (decoder(), preprocessor(), Limits::default());
    let mut images = 0;
    for entry in fs::read_dir(golden().join("images")).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        let there = decoder.ask(&job(), &bytes, PATIENCE).unwrap();
        match (preprocessor.run(&bytes, &limits), there) {
            (Ok(here), (Reply::Pixels { damage: None }, pixels)) => {
                assert_eq!(preprocessor.values(&pixels).unwrap(), here)
            }
            (Err(here), (Reply::Failed(there), _)) => assert_eq!(here, there),
            other => panic!("{other:?}"),
        }
        let (small, made) =
            decoder.ask(&Job::Thumbnail { max_side: 32, on_truncated: OnTruncated::Error }, &bytes, PATIENCE).unwrap();
        match clip::thumbnail(&bytes, 32, &limits, OnTruncated::Error) {
            Ok(clip::Thumbnail::Jpeg(here)) => assert!(matches!(small, Reply::Jpeg) && made == here),
            Ok(clip::Thumbnail::Png(here)) => assert!(matches!(small, Reply::Png) && made == here),
            Err(here) => assert!(matches!(small, Reply::Failed(there) if there == here)),
        }
        let (Reply::Info(info), _) = decoder.ask(&Job::Info, &bytes, PATIENCE).unwrap() else {
            panic!("no description")
        };
        assert_eq!(info.error, clip::image_info(&bytes, &limits).error);
        images += 1;
    }
    assert!(images > 10);
}

/// The frames of each file that has some, and of those that have one.
#[test]
fn frames_are_those_of_this_process() {
    let (mut decoder, limits, reading) = (decoder(), Limits::default(), Reading::default());
    let mut count = 0;
    let folders = ["frames", "images"].map(|folder| fs::read_dir(golden().join(folder)).unwrap());
    for entry in folders.into_iter().flatten() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        for (first, every, max) in [(1, 1, 1000), (1, 2, 2), (2, 1, 1), (50, 1, 1)] {
            let range = FrameRange { first, every, max };
            let (reply, body) = decoder.ask(&Job::Frames { range, reading }, &bytes, PATIENCE).unwrap();
            match (clip::frames(&bytes, &limits, reading, range), reply) {
                (Ok(here), Reply::Frames { frames, next, damage }) => {
                    let heads: Vec<_> = here.frames.iter().map(|frame| (frame.number, frame.delay_ms)).collect();
                    assert_eq!(frames.iter().map(|frame| (frame.0, frame.1)).collect::<Vec<_>>(), heads);
                    let pngs: Vec<&[u8]> = here.frames.iter().filter_map(|frame| frame.png.as_deref()).collect();
                    assert_eq!(body, pngs.concat());
                    assert_eq!((next, damage), (here.next, here.damage));
                    count += frames.len();
                }
                (Err(here), Reply::Failed(there)) => assert_eq!(here, there),
                other => panic!("{other:?}"),
            }
        }
    }
    assert!(count > 200, "{count}");
}

/// As far as the limits for one image go: frames of as many pixels as there may be.
#[test]
fn the_largest_frames_fit() {
    let (mut decoder, file) = (decoder(), largest_animation());
    let mut next = Some(1);
    let mut numbers = Vec::new();
    while let Some(first) = next {
        let job = Job::Frames { range: FrameRange { first, every: 1, max: 3 - first }, reading: Reading::default() };
        let (Reply::Frames { frames, next: then, .. }, _) = decoder.ask(&job, &file, PATIENCE).unwrap() else {
            panic!("no frames")
        };
        numbers.extend(frames.iter().map(|frame| frame.0));
        next = then;
    }
    assert_eq!(numbers, [1, 2]);
}

/// Together or one by one, small and large ones, good and bad ones.
#[test]
fn answers_to_many_are_those_to_each() {
    let (mut together, mut alone) = (decoder(), decoder());
    let names = ["alpha.png", "black.png", "photo_444.jpg", "noise.png"];
    let mut images: Vec<Vec<u8>> = names.iter().cycle().take(40).map(|name| image(name)).collect();
    for place in [0, 7, 8, 39] {
        images[place] = b"no image".to_vec();
    }
    images[20] = slow();
    images[21].clear();
    let slices: Vec<&[u8]> = images.iter().map(Vec::as_slice).collect();
    let mut answers = Vec::new();
    together.ask_all(&job(), &slices, PATIENCE, |reply, body| answers.push((reply, body))).unwrap();
    assert_eq!(answers.len(), images.len());
    for (answer, image) in answers.iter().zip(&images) {
        let expected = alone.ask(&job(), image, PATIENCE).unwrap();
        assert_eq!(format!("{answer:?}"), format!("{expected:?}"));
    }
    assert_eq!(answers.iter().filter(|(reply, _)| matches!(reply, Reply::Failed(_))).count(), 5);
}

/// What was answered before one that takes too long is kept, so that it is known which one that is.
#[test]
fn one_of_many_that_takes_too_long_is_known() {
    let mut decoder = decoder();
    let (good, slow) = (image("black.png"), slow());
    decoder.ask(&job(), &good, PATIENCE).unwrap();
    let patience = Patience { limit: Duration::from_millis(150), ..PATIENCE };
    let mut answered = 0;
    let failed = decoder.ask_all(&job(), &[&good, &good, &slow, &good], patience, |_, _| answered += 1).unwrap_err();
    assert!(matches!(failed, Failed::Image(Error::ImageTimeout { limit_ms: 150 })), "{failed:?}");
    assert_eq!(answered, 2);
}

#[test]
fn it_has_given_up_its_rights() {
    let decoder = decoder();
    assert_eq!(field(decoder.pid(), "NoNewPrivs"), "1");
    assert_eq!(field(decoder.pid(), "Seccomp"), "2");
    let limits = fs::read_to_string(format!("/proc/{}/limits", decoder.pid())).unwrap();
    let limit = |name: &str| limits.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    assert!(!limit("Max address space").contains("unlimited"), "{limits}");
    assert!(limit("Max core file size").split_ascii_whitespace().nth(4) == Some("0"), "{limits}");
    let descriptors = fs::read_dir(format!("/proc/{}/fd", decoder.pid())).unwrap().count();
    assert_eq!(descriptors, 3, "its socket, and no other file");
    let environment = fs::read(format!("/proc/{}/environ", decoder.pid())).unwrap();
    assert!(!String::from_utf8_lossy(&environment).contains("CARGO"));
}

#[test]
fn an_image_that_takes_too_long_is_given_up() {
    let mut decoder = decoder();
    let (pid, since) = (decoder.pid(), Instant::now());
    let patience = Patience { limit: Duration::from_millis(60), ..PATIENCE };
    let failed = decoder.ask(&job(), &slow(), patience).unwrap_err();
    assert!(matches!(failed, Failed::Image(Error::ImageTimeout { limit_ms: 60 })), "{failed:?}");
    assert!(since.elapsed() < Duration::from_secs(20), "{:?}", since.elapsed());
    assert!(is_gone(pid));
}

#[test]
fn an_image_that_nobody_wants_any_more_is_given_up() {
    let mut decoder = decoder();
    let (pid, abandoned) = (decoder.pid(), AtomicBool::new(false));
    let patience = Patience { abandoned: &abandoned, ..PATIENCE };
    let failed = thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_millis(60));
            abandoned.store(true, Relaxed);
        });
        ask_for_long(&mut decoder, patience)
    });
    assert!(matches!(failed, Failed::Image(Error::Cancelled)), "{failed:?}");
    assert!(is_gone(pid));
}

/// A decoder that is gone in the middle of an image, in one way or another.
fn ended_by(end: impl FnOnce(i32) + Send) -> Failed {
    let mut decoder = decoder();
    let pid = decoder.pid();
    let failed = thread::scope(|scope| {
        scope.spawn(move || {
            thread::sleep(Duration::from_millis(60));
            end(pid as i32);
        });
        ask_for_long(&mut decoder, PATIENCE)
    });
    assert!(is_gone(pid));
    failed
}

fn signalled(signal: i32) -> Failed {
    // SAFETY: the decoder is a child that was not reaped.
    ended_by(move |pid| assert_eq!(unsafe { libc::kill(pid, signal) }, 0))
}

#[test]
fn a_crash_is_the_images_fault() {
    for signal in [libc::SIGSEGV, libc::SIGABRT, libc::SIGBUS] {
        let Failed::Image(error) = signalled(signal) else { panic!("signal {signal} is nobody's fault") };
        let said = error.to_string();
        assert_eq!(said, format!("the decoder crashed on the image: it was terminated by signal {signal}"));
        assert!(error.is_about_image());
    }
}

#[test]
fn being_killed_is_not() {
    assert!(matches!(signalled(libc::SIGKILL), Failed::Killed(how) if how == "was terminated by signal 9"));
    assert!(matches!(signalled(libc::SIGTERM), Failed::Killed(how) if how == "exited with status 0"));
}

#[test]
fn memory_is_bounded() {
    let mut decoder = decoder();
    let pages = fs::read_to_string(format!("/proc/{}/statm", decoder.pid())).unwrap();
    let now: u64 = pages.split(' ').next().unwrap().parse::<u64>().unwrap() * 4096;
    let limit = libc::rlimit { rlim_cur: now + (64 << 20), rlim_max: now + (64 << 20) };
    // SAFETY: lowers a limit of a child; the number lives as long as the call.
    let lowered =
        unsafe { libc::prlimit(decoder.pid() as i32, libc::RLIMIT_AS, &raw const limit, std::ptr::null_mut()) };
    assert_eq!(lowered, 0);
    let failed = decoder.ask(&job(), &slow(), PATIENCE).unwrap_err();
    let Failed::Image(error @ Error::ImageMemory { .. }) = failed else { panic!("{failed:?}") };
    assert!(error.is_about_image() && error.to_string().contains("MiB of memory"), "{error}");
}

/// A PNG with four channels of 16 bits that lies on its side: of all images within the limits, this takes most memory.
fn largest() -> Vec<u8> {
    let side = 9_400_u32;
    let mut rows = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    let row = vec![0; 1 + 8 * side as usize];
    (0..side).for_each(|_| rows.write_all(&row).unwrap());
    let header = [&side.to_be_bytes(), &side.to_be_bytes(), [16, 6, 0, 0].as_slice(), &[0]].concat();
    let exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    let chunks = [(b"IHDR", &*header), (b"eXIf", exif), (b"IDAT", &rows.finish().unwrap()), (b"IEND", &[])];
    png(&chunks)
}

fn png(chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
    let chunk = |(kind, data): &(&[u8; 4], &[u8])| {
        let content = [*kind, *data].concat();
        [&(data.len() as u32).to_be_bytes(), &*content, &crc32fast::hash(&content).to_be_bytes()].concat()
    };
    let chunks: Vec<u8> = chunks.iter().flat_map(chunk).collect();
    [b"\x89PNG\r\n\x1a\n".as_slice(), &chunks].concat()
}

/// Two frames over all of it, each of which gives way to what was there before.
fn largest_animation() -> Vec<u8> {
    let side = 9_400_u32.to_be_bytes();
    let mut rows = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    let row = vec![0; 1 + 4 * 9_400];
    (0..9_400).for_each(|_| rows.write_all(&row).unwrap());
    let rows = rows.finish().unwrap();
    let header = [&side, &side, [8, 6, 0, 0].as_slice(), &[0]].concat();
    let control = |number: u32| [&number.to_be_bytes(), &side, &side, [0; 8].as_slice(), &[0, 1, 0, 10, 2, 0]].concat();
    let (first, second) = (control(0), control(1));
    let later = [&2_u32.to_be_bytes(), rows.as_slice()].concat();
    png(&[
        (b"IHDR", &header),
        (b"acTL", &[0, 0, 0, 2, 0, 0, 0, 0]),
        (b"fcTL", &first),
        (b"IDAT", &rows),
        (b"fcTL", &second),
        (b"fdAT", &later),
        (b"IEND", &[]),
    ])
}

/// The bound on memory refuses nothing that is within the limits.
#[test]
fn the_largest_image_fits() {
    let (mut decoder, image) = (decoder(), largest());
    for job in [job(), Job::Thumbnail { max_side: 256, on_truncated: OnTruncated::Error }, Job::Info] {
        let (answer, _) = decoder.ask(&job, &image, PATIENCE).unwrap();
        assert!(!matches!(answer, Reply::Failed(_)), "{answer:?}");
    }
}

#[test]
fn memory_is_given_back() {
    let mut decoder = decoder();
    decoder.ask(&job(), &image("photo_444.jpg"), PATIENCE).unwrap();
    decoder.ask(&job(), &slow(), PATIENCE).unwrap();
    let resident = || field(decoder.pid(), "RssAnon").trim_end_matches(" kB").parse::<u64>().unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while resident() > 8 << 10 {
        assert!(Instant::now() < deadline, "{} kB", resident());
        thread::sleep(Duration::from_millis(50));
    }
}
