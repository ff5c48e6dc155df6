//! Every variant of every format beside PIL, and the documents that say how near.

use std::path::Path;

use clip::{Limits, Reading};
use parity::{Corpus, Document, Measured, Meter, cosine, expected};

/// The bound that the project promises.
const IMAGE: f64 = 0.9999;

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(parity::workspace()).join(path)).unwrap()
}

#[test]
fn every_variant_is_pils() {
    let (corpus, mut meter) = (Corpus::read().unwrap(), Meter::new().unwrap());
    let measured: Vec<Measured> = corpus.images.iter().map(|image| meter.measure(image).unwrap()).collect();
    let results = corpus.images.iter().zip(&measured);
    let complaints: Vec<String> = results
        .filter_map(|(image, measured)| {
            let complaint = expected(&image.file).0.complaint(measured)?;
            Some(format!("{}: {complaint}", image.file))
        })
        .collect();
    assert!(complaints.is_empty(), "{complaints:#?}");

    let resizing = parity::worst_of_each_filter().unwrap();
    let committed = read(parity::PATH);
    let fresh = Document::new(&corpus, &measured, &resizing).unwrap().put_into(&committed).unwrap();
    let (committed, fresh) = (Document::promises(&committed), Document::promises(&fresh));
    let stale: Vec<_> = committed.iter().filter(|row| !fresh.contains(row)).take(5).collect();
    let missing: Vec<_> = fresh.iter().filter(|row| !committed.contains(row)).take(5).collect();
    assert!(committed == fresh, "{} is out of date, run `make parity`: {stale:#?} {missing:#?}", parity::PATH);
}

#[test]
fn eight_orientations_are_one_image() {
    let (corpus, mut meter) = (Corpus::read().unwrap(), Meter::new().unwrap());
    let turned = corpus.images.iter().filter(|image| image.file.starts_with("jpeg/orientation"));
    let mut embed = |reading: Reading| -> Vec<Vec<f32>> {
        let decode = |bytes: Vec<u8>| clip::decode(&bytes, &Limits::default(), reading).unwrap();
        turned.clone().map(|image| meter.embed(&decode(image.bytes().unwrap())).unwrap()).collect()
    };
    let upright = embed(Reading::default());
    let stored = embed(Reading { apply_orientation: false, ..Reading::default() });
    assert_eq!(upright.len(), 8);
    for (index, (upright_one, stored_one)) in upright.iter().zip(&stored).enumerate() {
        let near = cosine(&upright[0], upright_one);
        println!("orientation {}: {near:.7}, as stored {:.4}", index + 1, cosine(&upright[0], stored_one));
        assert!(near >= IMAGE, "orientation {}", index + 1);
        assert_eq!(upright_one == stored_one, index == 0, "orientation {}", index + 1);
    }
}

#[test]
fn truncated_variants_are_errors() {
    let limits = Limits::default();
    // What says how an image is turned may be behind it.
    let reading = Reading { apply_orientation: false, ..Reading::default() };
    let corpus = Corpus::read().unwrap();
    for image in corpus.images.iter().filter(|image| image.file != "jpeg/large.jpg") {
        let bytes = image.bytes().unwrap();
        let Ok(whole) = clip::decode(&bytes, &limits, reading) else { continue };
        for length in (1..24).map(|part| bytes.len() * part / 24).chain([bytes.len() - 1]) {
            match clip::decode(&bytes[..length], &limits, reading) {
                Err(error) => assert!(error.is_about_image(), "{}: {error}", image.file),
                // Only something behind the pixels was cut off.
                Ok(part) => assert!(part == whole, "{} from {length} of {} bytes", image.file, bytes.len()),
            }
        }
    }
}

#[test]
fn the_reference_lists_the_formats() {
    let reference = read("docs/reference.md");
    let list = reference.split_once("- Images: ").and_then(|(_, rest)| rest.split_once('.')).map(|(list, _)| list);
    let list = list.expect("a list of formats").replace('\n', " ").replace(" and ", ", ");
    let listed: Vec<&str> = list.split(',').map(str::trim).collect();
    let known = clip::FORMATS.iter().map(|(_, name)| *name);
    let wanted: Vec<&str> = known.chain(clip::OTHER_FORMATS).collect();
    assert_eq!(listed, wanted, "docs/reference.md, \"Limits\"");
}
