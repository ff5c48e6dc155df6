//! Images to the input of the image encoder, as the PIL classes of transformers and open_clip's transforms.

use image::{Rgb, RgbImage};
use ndarray::Array3;

use super::decode::decode_damaged;
use super::limits::Limits;
use super::reading::Reading;
use super::resize::{self, Axis};
use crate::error::{Error, Result};
use crate::spec::{CropRounding, ImageSpec, ModelSpec, Resize};

/// How many times as many pixels as it is resized to a scaled JPEG file has at least, in each direction. With less,
/// the filter of the resizing would find too little to average over.
const SCALED_SIZE: u64 = 2;

/// Makes the image encoder's input. Shared between threads.
#[derive(Debug, Clone)]
pub struct Preprocessor {
    spec: ImageSpec,
    reading: Reading,
    /// The input value of each 8-bit value, for each channel: rescaled and normalised.
    values: [[f32; 256]; 3],
}

impl Preprocessor {
    /// The preprocessing of a model, with the default [`Reading`].
    pub fn new(spec: &ModelSpec) -> Preprocessor {
        Preprocessor::of(spec.image.clone())
    }

    /// The preprocessing that a specification describes, with the default [`Reading`]: for a process that has no model.
    pub fn of(spec: ImageSpec) -> Preprocessor {
        let values = values(&spec);
        Preprocessor { spec, reading: Reading::default(), values }
    }

    /// The same with another understanding of images.
    pub fn with_reading(self, reading: Reading) -> Preprocessor {
        Preprocessor { reading, ..self }
    }

    /// What this was made from.
    pub fn spec(&self) -> (&ImageSpec, Reading) {
        (&self.spec, self.reading)
    }

    /// Decodes an image and makes the image encoder's input of it: (3, height, width), red, green, blue.
    ///
    /// # Errors
    /// Those of [`crate::decode`].
    pub fn run(&self, bytes: &[u8], limits: &Limits) -> Result<Array3<f32>> {
        Ok(self.input(&self.decode(bytes, limits)?.0))
    }

    /// Decodes an image, resizes and crops it: 8-bit RGB, row by row; and what is wrong with the file where
    /// [`Reading::on_truncated`] passes over it. [`Preprocessor::values`] is the second half of [`Preprocessor::run`].
    ///
    /// # Errors
    /// Those of [`crate::decode`].
    pub fn pixels(&self, bytes: &[u8], limits: &Limits) -> Result<(Vec<u8>, Option<Error>)> {
        let (image, damage) = self.decode(bytes, limits)?;
        Ok((self.cropped(&image).into_raw(), damage))
    }

    /// In full, or as large as is enough where [`Reading::jpeg_scaling`] says so.
    fn decode(&self, bytes: &[u8], limits: &Limits) -> Result<(RgbImage, Option<Error>)> {
        let enough = |width, height| {
            let (width, height) = self.resized_size(width, height);
            (width.saturating_mul(SCALED_SIZE), height.saturating_mul(SCALED_SIZE))
        };
        decode_damaged(bytes, limits, self.reading, self.reading.jpeg_scaling.then_some(&enough as _))
    }

    /// The image encoder's input, (3, height, width), from the bytes that [`Preprocessor::pixels`] made. `None` where they
    /// are not as many as that makes.
    pub fn values(&self, pixels: &[u8]) -> Option<Array3<f32>> {
        let (height, width) = (self.spec.height as usize, self.spec.width as usize);
        if pixels.len() != 3 * height * width {
            return None;
        }
        let mut input = Vec::with_capacity(pixels.len());
        for (channel, values) in self.values.iter().enumerate() {
            let source = if self.spec.reverse_channels { 2 - channel } else { channel };
            input.extend(pixels.chunks_exact(3).map(|pixel| values[usize::from(pixel[source])]));
        }
        Array3::from_shape_vec((3, height, width), input).ok()
    }

    /// A decoded image, resized and cropped: 8-bit RGB, as [`Preprocessor::pixels`].
    pub fn levels(&self, image: &RgbImage) -> Vec<u8> {
        self.cropped(image).into_raw()
    }

    /// The image encoder's input from a decoded image: (3, height, width), red, green, blue.
    pub fn input(&self, image: &RgbImage) -> Array3<f32> {
        self.values(&self.cropped(image)).expect("a crop has the specification's size")
    }

    /// An image, resized and cropped. What a crop has beyond the image is filled before rescaling and normalising.
    fn cropped(&self, image: &RgbImage) -> RgbImage {
        let (height, width) = (self.spec.height, self.spec.width);
        let (resized_width, resized_height) = self.resized_size(image.width(), image.height());
        let (x, left) = axis(image.width(), resized_width, width, self.spec.crop_rounding);
        let (y, top) = axis(image.height(), resized_height, height, self.spec.crop_rounding);
        let part = resize::resize(image, x, y, self.spec.filter);
        if part.dimensions() == (width, height) {
            return part;
        }
        let mut whole = RgbImage::from_pixel(width, height, Rgb([self.spec.fill; 3]));
        let levels: &mut [u8] = &mut whole;
        let (stride, length) = (width as usize * 3, part.width() as usize * 3);
        for (row, pixels) in part.as_raw().chunks_exact(length).enumerate() {
            levels[(top + row) * stride + left * 3..][..length].copy_from_slice(pixels);
        }
        whole
    }

    /// Width and height after resizing, before cropping.
    fn resized_size(&self, width: u32, height: u32) -> (u64, u64) {
        match self.spec.resize {
            None => (width.into(), height.into()),
            Some(Resize::Exact { height, width }) => (width.into(), height.into()),
            Some(Resize::ShortestEdge(edge)) => shortest_edge(width, height, edge.into(), f64::from(edge)),
            Some(Resize::ShortestEdgeWithin { shortest, longest }) => {
                let ratio = f64::from(width.max(height)) / f64::from(width.min(height));
                if ratio * f64::from(shortest) <= f64::from(longest) {
                    return shortest_edge(width, height, shortest.into(), f64::from(shortest));
                }
                let exact = f64::from(longest) * f64::from(width.min(height)) / f64::from(width.max(height));
                shortest_edge(width, height, exact.round_ties_even() as u64, exact)
            }
            Some(Resize::Inside { height: high, width: wide }) => fit(width, height, wide, high, f64::max),
            Some(Resize::Outside { height: high, width: wide }) => fit(width, height, wide, high, f64::min),
        }
    }
}

/// The shorter side is exact and the longer cut to an integer, after transformers' `get_resize_output_image_size` and
/// `get_size_with_aspect_ratio`, which take the longer side from an edge that is not rounded.
fn shortest_edge(width: u32, height: u32, edge: u64, exact_edge: f64) -> (u64, u64) {
    let longer = |long: u32, short: u32| ((exact_edge * f64::from(long) / f64::from(short)) as u64).max(1);
    let edge = edge.max(1);
    if u64::from(width.min(height)) == edge {
        return (width.into(), height.into());
    }
    if width <= height { (edge, longer(height, width)) } else { (longer(width, height), edge) }
}

/// After open_clip's `ResizeKeepRatio`; a side of a very long image has one pixel at least.
fn fit(width: u32, height: u32, wide: u32, high: u32, choose: fn(f64, f64) -> f64) -> (u64, u64) {
    let ratio = choose(f64::from(height) / f64::from(high), f64::from(width) / f64::from(wide));
    let side = |side: u32| ((f64::from(side) / ratio).round_ties_even() as u64).max(1);
    (side(width), side(height))
}

/// The part of a resized side that a centre crop to `wanted` keeps, and where in the crop it starts.
fn axis(input: u32, resized: u64, wanted: u32, rounding: CropRounding) -> (Axis, usize) {
    let resized_signed = resized as i64;
    let rest = resized_signed - i64::from(wanted);
    let start = match rounding {
        CropRounding::Down => rest.div_euclid(2),
        // Towards zero where the crop is larger than the image.
        CropRounding::HalfEven if rest < 0 => rest / 2,
        CropRounding::HalfEven => rest / 2 + (rest % 2) * (rest / 2 % 2),
    };
    let first = start.max(0);
    let last = (start + i64::from(wanted)).min(resized_signed);
    let axis = Axis { input, output: resized, start: first as u64, length: (last - first) as u32 };
    (axis, (first - start) as usize)
}

/// The reference rescales in double precision, keeps single, and normalises in single.
fn values(spec: &ImageSpec) -> [[f32; 256]; 3] {
    std::array::from_fn(|channel| std::array::from_fn(|level| spec.value(channel, level as u8)))
}
