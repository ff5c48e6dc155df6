//! One image, decoded and embedded, beside the reference.

use anyhow::Result;
use clip::{
    Cancel, Device, Error, Gray16, ImageEncoder, Limits, Precision, Preprocessor, Reading, RgbImage, SessionOptions,
    Transparency,
};

use crate::corpus::{Image, Reference};
use crate::golden::{cosine, runtime, spec};

/// How far an image is from the reference.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Distance {
    /// The largest difference of a channel of a pixel, in levels of 8 bits. None: the sizes differ.
    pub levels: Option<u8>,
    /// Cosine of the embeddings.
    pub cosine: f64,
}

/// What became of an image.
#[derive(Debug, Clone, PartialEq)]
pub enum Measured {
    /// It was decoded, and so it was by PIL.
    Compared(Distance),
    /// PIL refuses it, but it was decoded.
    OnlyHere,
    /// It was refused.
    Refused(Error),
}

/// Decodes and embeds.
pub struct Meter {
    preprocessor: Preprocessor,
    encoder: ImageEncoder,
}

impl Meter {
    /// With the golden model.
    ///
    /// # Errors
    /// If it or the ONNX Runtime cannot be used.
    pub fn new() -> Result<Self> {
        let spec = spec();
        let options =
            SessionOptions { device: Device::Cpu, threads: 1, precision: Precision::Fp32, ..SessionOptions::default() };
        let encoder = ImageEncoder::load(&spec, &options, &runtime()?)?;
        Ok(Self { preprocessor: Preprocessor::new(&spec), encoder })
    }

    /// Embeds a decoded image.
    ///
    /// # Errors
    /// If the model fails.
    pub fn embed(&mut self, image: &RgbImage) -> Result<Vec<f32>> {
        let input = self.preprocessor.input(image);
        Ok(self.encoder.embed(&[input.view()], &Cancel::new())?.remove(0))
    }

    /// Compares an image with the reference; if EXIF states an orientation, both without and with applying it.
    ///
    /// # Errors
    /// If a file of the corpus cannot be read, or the model fails. An image that is refused is a result.
    pub fn measure(&mut self, image: &Image) -> Result<Measured> {
        let bytes = image.bytes()?;
        let readings = [(&image.plain, false), (image.turned.as_ref().map_or(&image.plain, |_| &image.turned), true)];
        let mut worst = None;
        for (reference, apply_orientation) in readings {
            let decoded = match clip::decode(&bytes, &Limits::default(), as_pil(apply_orientation)) {
                Ok(decoded) => decoded,
                Err(error) => return Ok(Measured::Refused(error)),
            };
            let Some(reference) = reference else { continue };
            let found = self.distance(&decoded, reference)?;
            worst = Some(worst.map_or(found, |other| farther(found, other)));
        }
        Ok(worst.map_or(Measured::OnlyHere, Measured::Compared))
    }

    fn distance(&mut self, decoded: &RgbImage, reference: &Reference) -> Result<Distance> {
        let levels = reference.difference(decoded)?;
        Ok(Distance { levels, cosine: cosine(&self.embed(decoded)?, &reference.embedding) })
    }
}

/// As PIL's `convert("RGB")` understands images.
pub(crate) fn as_pil(apply_orientation: bool) -> Reading {
    Reading { transparency: Transparency::Drop, apply_orientation, gray16: Gray16::Pil, ..Reading::default() }
}

/// The worse of both in each respect.
pub(crate) fn farther(a: Distance, b: Distance) -> Distance {
    let levels = a.levels.zip(b.levels).map(|(a, b)| a.max(b));
    Distance { levels, cosine: a.cosine.min(b.cosine) }
}
