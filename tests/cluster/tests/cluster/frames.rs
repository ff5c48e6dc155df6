//! `clip_image_frames`: frames under all settings, and files of very many of them.

use cluster_tests::{Cluster, Process, backend_pid, embed_image, image, refusal, report, wait_out_cancel, wait_until};
use postgres::error::DbError;
use postgres::{Client, NoTls};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(30);

/// A GIF of so many pixels in each direction and so many frames, each of which sets one of them.
fn gif(side: u16, frames: usize) -> Vec<u8> {
    const FRAME: &[u8] = b",\0\0\0\0\x01\0\x01\0\0\x02\x02\x4c\x01\0";
    let side = side.to_le_bytes();
    [b"GIF89a".as_slice(), &side, &side, b"\x80\0\0\xff\0\0\0\xff\0", &FRAME.repeat(frames), b";"].concat()
}

/// A TIFF of gray noise whose pages all show the same bytes.
fn tiff(side: u32, pages: u32) -> Vec<u8> {
    const ENTRIES: u32 = 8;
    let page = 2 + 12 * ENTRIES + 4;
    let pixels = 8 + page * pages;
    let mut file = [b"II*\0".as_slice(), &8_u32.to_le_bytes()].concat();
    for index in 1..=pages {
        file.extend((ENTRIES as u16).to_le_bytes());
        let tags =
            [(256, side), (257, side), (258, 8), (259, 1), (262, 1), (273, pixels), (278, side), (279, side * side)];
        for (tag, value) in tags {
            file.extend([(tag as u16).to_le_bytes(), 4_u16.to_le_bytes()].concat());
            file.extend([1_u32.to_le_bytes(), value.to_le_bytes()].concat());
        }
        file.extend(if index < pages { 8 + page * index } else { 0 }.to_le_bytes());
    }
    let mut state = 1_u32;
    file.extend((0..side * side).map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    }));
    file
}

fn count(client: &mut Client, file: &[u8], max: i64) -> Result<i64, postgres::Error> {
    client.query_one("SELECT count(*) FROM clip_image_frames($1, $2)", &[&file, &max]).map(|row| row.get(0))
}

fn first(client: &mut Client, file: &[u8]) -> Vec<u8> {
    client.query_one("SELECT image FROM clip_image_frames($1, 1)", &[&file]).unwrap().get(0)
}

/// Whatever images are understood as: what is embedded of the first frame is what is embedded of the file.
#[test]
fn the_first_is_what_the_file_is() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    let names = [
        "png_turned.png",
        "gif_keep_transparent.gif",
        "webp_over0.webp",
        "tiff_lzw.tiff",
        "png_deep.png",
        "jxl_rgb.jxl",
    ];
    let mut files: Vec<Vec<u8>> = names.iter().map(|name| image(&format!("../frames/{name}"))).collect();
    files.extend(["photo_420.jpg", "alpha.png", "deep_gray.png"].map(image));
    let mut seen = Vec::new();
    for settings in [
        [("apply_orientation", "on"), ("transparency", "drop"), ("gray16", "scale"), ("jpeg_scaling", "off")],
        [("apply_orientation", "off"), ("transparency", "white"), ("gray16", "pil"), ("jpeg_scaling", "on")],
    ] {
        let settings = settings.map(|(name, value)| (format!("clip_search.{name}"), value));
        let settings: Vec<(&str, &str)> = settings.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        cluster.reconfigure(&settings);
        let turned = &files[0];
        wait_until("the settings take effect", LIMIT, || {
            Some(&embed_image(&mut client, turned).unwrap()) != seen.first()
        });
        seen.clear();
        for (name, file) in names.iter().zip(&files) {
            let frame = first(&mut client, file);
            assert_ne!(&frame, file, "{name}");
        }
        for file in &files {
            let frame = first(&mut client, file);
            let whole = embed_image(&mut client, file).unwrap();
            assert_eq!(embed_image(&mut client, &frame).unwrap(), whole, "{settings:?}");
            seen.push(whole);
        }
    }
}

/// With `on_truncated = decode`, the frames before the damage, and a WARNING.
#[test]
fn damaged_files_follow_the_configuration() {
    let cluster = Cluster::on_demand();
    let (mut client, notices) = cluster.connect_with_notices();
    let whole = image("../frames/gif_mixed.gif");
    let cut = &whole[..whole.len() * 88 / 100];
    let refused = refusal(count(&mut client, cut, 1000));
    assert_eq!(refused.code().code(), "22P03");
    let said = refused.message().to_owned();
    let frame = said.split("frame ").nth(1).and_then(|rest| rest.split(':').next()?.parse::<i64>().ok());
    let frame = frame.unwrap_or_else(|| panic!("{said}"));
    assert_eq!(count(&mut client, cut, frame - 1).unwrap(), frame - 1);
    cluster.reconfigure(&[("clip_search.on_truncated", "decode")]);
    wait_until("the setting takes effect", LIMIT, || count(&mut client, cut, 1000).is_ok());
    notices.lock().unwrap().clear();
    assert_eq!(count(&mut client, cut, 1000).unwrap(), frame - 1);
    let warnings: Vec<DbError> = notices.lock().unwrap().drain(..).collect();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert_eq!(warnings[0].message(), "extracted what frames there are of a damaged image");
    assert_eq!(warnings[0].detail(), Some(format!("The {said}.").as_str()));
}

#[test]
fn frames_of_gigabytes() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    let file = tiff(2000, 300);
    let said = report(count(&mut client, &file, 1000));
    let (message, hint) = said.split_once('\n').unwrap();
    assert!(
        message.starts_with("54000: images of the frames up to frame ")
            && message.ends_with("more than 1073741824 bytes together"),
        "{said}"
    );
    assert_eq!(hint, "HINT: Pass a lower max_frames, or take each nth frame with every.");
    assert_eq!(count(&mut client, &file, 10).unwrap(), 10);
    cluster.assert_sessions_survived();
}

/// As each image, a part of the frames has its time, also for what comes before it.
#[test]
fn frames_that_take_too_long() {
    let cluster = Cluster::builder().set("clip_search.image_timeout", "400ms").start();
    let mut client = cluster.connect();
    let said = "54000: decoding the image takes more than 400 ms\n\
                HINT: Scale the image down, or raise clip_search.image_timeout.";
    let file = gif(9_000, 2);
    embed_image(&mut client, &image("black.png")).unwrap();
    assert_eq!(report(count(&mut client, &file, 1000)), said);
    assert_eq!(count(&mut client, &gif(10, 100), 1000).unwrap(), 100);
    cluster.assert_sessions_survived();
}

/// A statement that would take minutes ends when it is told to, and so does the work for it.
#[test]
fn a_cancelled_statement() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    embed_image(&mut client, &image("black.png")).unwrap();
    let server = cluster.server();
    let file = gif(3_000, 100_000);
    let token = client.cancel_token();
    let backend = backend_pid(&mut client);
    let (refused, cancelled) = std::thread::scope(|scope| {
        let canceller = scope.spawn(|| {
            cluster.wait_for_waiting(backend);
            std::thread::sleep(Duration::from_millis(500));
            token.cancel_query(NoTls).unwrap();
            Instant::now()
        });
        (refusal(count(&mut client, &file, 100_000)), canceller.join().unwrap())
    });
    assert_eq!(refused.code().code(), "57014", "{refused:?}");
    assert!(cancelled.elapsed() < LIMIT);
    wait_out_cancel(&mut client);
    wait_until("the decoders rest", LIMIT, || {
        let used = || -> u64 { Cluster::decoders_of(server).into_iter().map(ticks).sum() };
        let before = used();
        std::thread::sleep(Duration::from_millis(500));
        used() == before
    });
    assert_eq!(count(&mut client, &file, 2).unwrap(), 2);
    assert_eq!(cluster.server(), server);
    cluster.assert_sessions_survived();
}

/// Processor time, in hundredths of a second.
fn ticks(process: Process) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.0)).unwrap_or_default();
    let times = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
    times.filter_map(|ticks| ticks.parse::<u64>().ok()).sum()
}
