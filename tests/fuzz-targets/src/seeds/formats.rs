//! Images as encoders write them.

use std::io::Cursor;

use image::{DynamicImage, ImageFormat};

use super::Seed;
use crate::golden;

/// What ends a TGA file of version 2: no extension, no developer area, the signature.
pub(super) const TGA_FOOTER: &[u8] = b"\0\0\0\0\0\0\0\0TRUEVISION-XFILE.\0";

/// The images of tests/golden, and those in formats that this library does not write.
pub(super) fn golden() -> Vec<Seed> {
    let folders = ["images", "frames", "formats/jpeg2000", "formats/jpegxl"].map(|folder| golden::dir().join(folder));
    let files = folders.iter().flat_map(|folder| folder.read_dir().expect("the golden images are there"));
    let mut seeds: Vec<Seed> = files
        .map(|entry| entry.expect("the folder can be read").path())
        .filter(|path| path.is_file())
        .map(|path| {
            let name = path.file_name().expect("it has a name").to_string_lossy().into_owned();
            (name, std::fs::read(path).expect("the file can be read"))
        })
        .collect();
    seeds.sort();
    seeds
}

/// A few pixels in every format and every kind of colour that this library writes.
pub(super) fn encoded() -> Vec<Seed> {
    let formats = [
        (ImageFormat::Jpeg, "jpg"),
        (ImageFormat::Png, "png"),
        (ImageFormat::Gif, "gif"),
        (ImageFormat::WebP, "webp"),
        (ImageFormat::Bmp, "bmp"),
        (ImageFormat::Tiff, "tiff"),
        (ImageFormat::Pnm, "pnm"),
        (ImageFormat::Ico, "ico"),
        (ImageFormat::Tga, "tga"),
        (ImageFormat::Qoi, "qoi"),
    ];
    let mut seeds = Vec::new();
    for (format, name) in formats {
        for image in images() {
            let mut file = Cursor::new(Vec::new());
            // Not every format has every colour.
            if image.write_to(&mut file, format).is_ok() {
                let mut bytes = file.into_inner();
                if format == ImageFormat::Tga && !bytes.ends_with(TGA_FOOTER) {
                    bytes.extend(TGA_FOOTER);
                }
                seeds.push((format!("{:?}.{name}", image.color()), bytes));
            }
        }
    }
    seeds
}

fn images() -> Vec<DynamicImage> {
    let image = image::RgbaImage::from_fn(9, 7, |x, y| image::Rgba([x as u8 * 28, y as u8 * 36, 77, 255 - x as u8]));
    let image = DynamicImage::from(image);
    vec![
        image.to_luma8().into(),
        image.to_luma_alpha8().into(),
        image.to_rgb8().into(),
        image.to_luma16().into(),
        image.to_rgb16().into(),
        image.to_rgba16().into(),
        image.to_rgb32f().into(),
        image,
    ]
}
