//! HEIC and AVIF, by the system's libheif.
//!
//! The library is opened when the first image needs it, like ONNX Runtime, so that one build works on machines with and
//! without it. It brings decoders of its own, or loads them as plugins, depending on its version and package.

#![allow(unsafe_code)]

mod library;

use library::{Context, Library};
use std::sync::OnceLock;

/// The name of the library, by its interface's version, which has not changed since 2018.
pub const LIBRARY: &str = "libheif.so.1";

/// Why an image was not decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is no libheif, or not one with the functions that are called.
    #[error("{0}")]
    Library(String),
    /// libheif has no decoder for it.
    #[error("{0}")]
    Unsupported(String),
    /// The file is damaged.
    #[error("{0}")]
    Corrupt(String),
}

/// A decoded image.
pub struct Image {
    /// In pixels, after the turns and mirrors that the file states.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// 3, or 4 where it has an alpha channel.
    pub channels: usize,
    /// Row by row from the top left, without padding.
    pub samples: Vec<u8>,
}

static OPENED: OnceLock<Result<Library, Error>> = OnceLock::new();

fn library() -> Result<&'static Library, Error> {
    OPENED.get_or_init(Library::open).as_ref().map_err(Clone::clone)
}

/// Opens the library, and has it load its decoders. To be called before a process gives up the right to open files.
///
/// # Errors
/// [`Error::Library`].
pub fn open() -> Result<(), Error> {
    library().map(|_| ())
}

/// Version of the library, such as 1.15.1.
///
/// # Errors
/// [`Error::Library`].
pub fn version() -> Result<String, Error> {
    let number = library()?.version();
    Ok(format!("{}.{}.{}", number >> 24, number >> 16 & 0xff, number >> 8 & 0xff))
}

/// Decodes the primary image of a file to 8 bits for each sample. The turns and mirrors that the file states are applied: they
/// are part of the format. `accept` is asked before anything large is allocated, with width and height.
///
/// # Errors
/// That of `accept`, or what it makes of an [`Error`].
pub fn decode<E: From<Error>>(bytes: &[u8], accept: impl FnOnce(u32, u32) -> Result<(), E>) -> Result<Image, E> {
    let context = Context::read(library()?, bytes)?;
    let handle = context.primary_image()?;
    let (width, height) = handle.size();
    accept(width, height)?;
    Ok(handle.decode()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_decoded_where_there_is_a_library() {
        for file in ["exact.heic", "exact.avif"] {
            let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/heif").join(file);
            let bytes = std::fs::read(path).unwrap();
            match decode(&bytes, |_, _| Ok::<_, Error>(())) {
                Ok(Image { width, height, channels, samples }) => {
                    assert_eq!(samples.len(), width as usize * height as usize * channels, "{file}");
                    assert!(samples.iter().any(|sample| *sample != samples[0]), "{file}");
                    println!("{file}: {width} x {height} by libheif {}", version().unwrap());
                }
                Err(error) => assert!(matches!(error, Error::Library(_)), "{file}: {error:?}"),
            }
            let refused = decode(&bytes, |_, _| Err(Error::Unsupported("too large".to_owned()))).err();
            assert!(matches!(refused, Some(Error::Unsupported(_) | Error::Library(_))), "{refused:?}");
        }
    }

    #[test]
    fn what_is_no_image_is_refused() {
        let accept = |_, _| Ok::<_, Error>(());
        for bytes in [&b""[..], b"no image", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"] {
            let error = decode(bytes, accept).err().expect("refused");
            assert_eq!(matches!(error, Error::Library(_)), open().is_err(), "{error:?}");
        }
    }
}
