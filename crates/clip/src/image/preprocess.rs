//! Images to the input of the image encoder, as transformers' `CLIPImageProcessorPil`.

use image::RgbImage;
use ndarray::Array3;

use super::decode::{Limits, Reading, decode};
use super::resize::{self, Axis};
use crate::error::Result;
use crate::spec::{ImageSpec, ModelSpec, Resize};

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
        Ok(self.input(&decode(bytes, limits, self.reading)?))
    }

    /// Decodes an image, resizes and crops it: 8-bit RGB, row by row. [`Preprocessor::values`] is the second half of
    /// [`Preprocessor::run`].
    ///
    /// # Errors
    /// Those of [`crate::decode`].
    pub fn pixels(&self, bytes: &[u8], limits: &Limits) -> Result<Vec<u8>> {
        Ok(self.cropped(&decode(bytes, limits, self.reading)?).into_raw())
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
            input.extend(pixels.chunks_exact(3).map(|pixel| values[usize::from(pixel[channel])]));
        }
        Array3::from_shape_vec((3, height, width), input).ok()
    }

    /// The image encoder's input from a decoded image: (3, height, width), red, green, blue.
    pub fn input(&self, image: &RgbImage) -> Array3<f32> {
        self.values(&self.cropped(image)).expect("a crop has the specification's size")
    }

    /// An image, resized and cropped. What a crop has beyond the image is zero.
    fn cropped(&self, image: &RgbImage) -> RgbImage {
        let (height, width) = (self.spec.height, self.spec.width);
        let (resized_width, resized_height) = self.resized_size(image);
        let (x, left) = axis(image.width(), resized_width, width);
        let (y, top) = axis(image.height(), resized_height, height);
        let part = resize::resize(image, x, y, self.spec.filter);
        if part.dimensions() == (width, height) {
            return part;
        }
        let mut whole = RgbImage::new(width, height);
        let levels: &mut [u8] = &mut whole;
        let (stride, length) = (width as usize * 3, part.width() as usize * 3);
        for (row, pixels) in part.as_raw().chunks_exact(length).enumerate() {
            levels[(top + row) * stride + left * 3..][..length].copy_from_slice(pixels);
        }
        whole
    }

    /// Width and height after resizing, before cropping. The shorter side is exact and the longer cut to an integer,
    /// after transformers' `get_resize_output_image_size`.
    fn resized_size(&self, image: &RgbImage) -> (u64, u64) {
        let (width, height) = image.dimensions();
        match self.spec.resize {
            None => (width.into(), height.into()),
            Some(Resize::Exact { height, width }) => (width.into(), height.into()),
            Some(Resize::ShortestEdge(edge)) => {
                let longer = |long: u32, short: u32| (f64::from(edge) * f64::from(long) / f64::from(short)) as u64;
                if width <= height {
                    (edge.into(), longer(height, width))
                } else {
                    (longer(width, height), edge.into())
                }
            }
        }
    }
}

/// The part of a resized side that a centre crop to `wanted` keeps, and where in the crop it starts. After transformers'
/// `center_crop`: an odd rest goes to the right and bottom where it is cut, to the left and top where it is filled.
fn axis(input: u32, resized: u64, wanted: u32) -> (Axis, usize) {
    let resized_signed = resized as i64;
    let start = (resized_signed - i64::from(wanted)).div_euclid(2);
    let first = start.max(0);
    let last = (start + i64::from(wanted)).min(resized_signed);
    let axis = Axis { input, output: resized, start: first as u64, length: (last - first) as u32 };
    (axis, (first - start) as usize)
}

/// The reference rescales in double precision, keeps single, and normalises in single.
fn values(spec: &ImageSpec) -> [[f32; 256]; 3] {
    std::array::from_fn(|channel| std::array::from_fn(|level| spec.value(channel, level as u8)))
}
