//! preprocessor_config.json: what transformers' `CLIPImageProcessorPil` is made from, with its defaults.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::config::{Config, MAX_IMAGE_SIZE};
use super::files::ModelDir;
use crate::error::{Result, shorten};

const FILE: &str = "preprocessor_config.json";
/// Newer versions of transformers may write one file for tokenizer and image processor together.
const COMBINED: &str = "processor_config.json";

/// How an image becomes the input of the image encoder: resize, crop, rescale, normalise, each where present.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImageSpec {
    /// Height of the input in pixels.
    pub height: u32,
    /// Width of the input in pixels.
    pub width: u32,
    /// Resizing of the whole image.
    pub resize: Option<Resize>,
    /// Interpolation of the resizing.
    pub filter: Filter,
    /// True where the middle is cut out to height and width after resizing, with zeros where the image is smaller.
    pub center_crop: bool,
    /// Factor on the 8-bit values.
    pub rescale: Option<f64>,
    /// Subtracted from and divided by after rescaling.
    pub normalize: Option<Normalize>,
}

impl ImageSpec {
    /// The input value of an 8-bit value. The reference rescales in double precision, keeps single, and normalises in
    /// single.
    pub(crate) fn value(&self, channel: usize, level: u8) -> f32 {
        let value = match self.rescale {
            Some(factor) => (f64::from(level) * factor) as f32,
            None => f32::from(level),
        };
        match &self.normalize {
            Some(normalize) => (value - normalize.mean[channel] as f32) / normalize.std[channel] as f32,
            None => value,
        }
    }
}

/// The size that an image is resized to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Resize {
    /// The shorter side gets this many pixels, the aspect ratio stays.
    ShortestEdge(u32),
    /// Height and width are these, whatever the aspect ratio was.
    Exact {
        /// Height in pixels.
        height: u32,
        /// Width in pixels.
        width: u32,
    },
}

/// Interpolation of PIL's `Image.resize`, the numbers being PIL's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Filter {
    /// 0
    Nearest,
    /// 1
    Lanczos,
    /// 2
    Bilinear,
    /// 3
    Bicubic,
    /// 4
    Box,
    /// 5
    Hamming,
}

/// Mean and standard deviation of the channels red, green and blue.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Normalize {
    /// Means.
    pub mean: [f64; 3],
    /// Standard deviations, not zero.
    pub std: [f64; 3],
}

#[derive(Deserialize)]
struct Combined {
    image_processor: Option<File>,
}

#[derive(Deserialize)]
struct File {
    image_processor_type: Option<String>,
    feature_extractor_type: Option<String>,
    do_resize: Option<bool>,
    do_center_crop: Option<bool>,
    do_rescale: Option<bool>,
    do_normalize: Option<bool>,
    do_pad: Option<bool>,
    size: Option<Value>,
    crop_size: Option<Value>,
    resample: Option<u8>,
    rescale_factor: Option<f64>,
    image_mean: Option<Value>,
    image_std: Option<Value>,
}

/// What a processor class does where its file says nothing.
struct Defaults {
    size: Resize,
    center_crop: bool,
    mean: [f64; 3],
    std: [f64; 3],
}

const CLIP: Defaults = Defaults {
    size: Resize::ShortestEdge(224),
    center_crop: true,
    mean: [0.48145466, 0.4578275, 0.40821073],
    std: [0.26862954, 0.26130258, 0.27577711],
};

const SIGLIP: Defaults =
    Defaults { size: Resize::Exact { height: 224, width: 224 }, center_crop: false, mean: [0.5; 3], std: [0.5; 3] };

pub(super) fn read(dir: &ModelDir, config: &Config) -> Result<ImageSpec> {
    let (name, file) = match dir.parse_optional::<File>(FILE)? {
        Some(file) => (FILE, file),
        None => match dir.parse_optional::<Combined>(COMBINED)?.and_then(|combined| combined.image_processor) {
            Some(file) => (COMBINED, file),
            None => return Err(dir.bad(FILE, "there is no such file")),
        },
    };
    interpret(&file, config).map_err(|reason| dir.bad(name, reason))
}

fn interpret(file: &File, config: &Config) -> Result<ImageSpec, String> {
    let class = file.image_processor_type.as_deref().or(file.feature_extractor_type.as_deref());
    let is_siglip = class.map_or(config.model_type.starts_with("siglip"), |class| class.starts_with("Siglip"));
    let defaults = if is_siglip { SIGLIP } else { CLIP };
    if file.do_pad == Some(true) {
        return Err("do_pad is not supported".to_owned());
    }

    let resize = match (file.do_resize.unwrap_or(true), present(&file.size)) {
        (false, _) => None,
        (true, None) => Some(defaults.size),
        (true, Some(value)) => Some(resize(value, is_siglip)?),
    };
    let crop = match (file.do_center_crop.unwrap_or(defaults.center_crop), present(&file.crop_size)) {
        (false, _) => None,
        (true, None) => Some((224, 224)),
        (true, Some(value)) => Some(crop_size(value)?),
    };
    let (height, width) = match (crop, resize) {
        (Some(size), _) => size,
        (None, Some(Resize::Exact { height, width })) => (height, width),
        (None, _) => return Err("images would keep different sizes: it neither crops nor resizes exactly".to_owned()),
    };
    if let Some((wanted_height, wanted_width)) = config.image_size
        && (wanted_height, wanted_width) != (height, width)
    {
        return Err(format!(
            "it makes {height} x {width} pixels, vision_config.image_size of config.json is {wanted_height} x {wanted_width}"
        ));
    }

    let rescale = if file.do_rescale.unwrap_or(true) {
        let factor = file.rescale_factor.unwrap_or(1.0 / 255.0);
        if !factor.is_normal() {
            return Err(format!("rescale_factor is {factor}"));
        }
        Some(factor)
    } else {
        None
    };
    let normalize = if file.do_normalize.unwrap_or(true) {
        let mean = channels("image_mean", &file.image_mean, defaults.mean)?;
        let std = channels("image_std", &file.image_std, defaults.std)?;
        // The reference divides in single precision.
        if std.iter().any(|&value| !(value as f32).is_normal()) {
            return Err("image_std has a zero".to_owned());
        }
        Some(Normalize { mean, std })
    } else {
        None
    };
    let filter = filter(file.resample.unwrap_or(3))?;
    let spec = ImageSpec { height, width, resize, filter, center_crop: crop.is_some(), rescale, normalize };
    // All other values are between these.
    if (0..3).any(|channel| [0, 255].iter().any(|&level| !spec.value(channel, level).is_finite())) {
        return Err("rescale_factor, image_mean and image_std make values that are not finite".to_owned());
    }
    Ok(spec)
}

fn present(value: &Option<Value>) -> Option<&Value> {
    value.as_ref().filter(|value| !value.is_null())
}

/// Reads `224`, `[height, width]`, `{"shortest_edge": 224}` or `{"height": 224, "width": 224}`.
fn resize(value: &Value, int_is_square: bool) -> Result<Resize, String> {
    if let Some(edge) = value.get("shortest_edge").filter(|edge| !edge.is_null()) {
        if value.get("longest_edge").is_some_and(|edge| !edge.is_null()) {
            return Err("size has a longest_edge, which is not supported".to_owned());
        }
        return Ok(Resize::ShortestEdge(side("size.shortest_edge", edge)?));
    }
    if value.is_u64() && !int_is_square {
        return Ok(Resize::ShortestEdge(side("size", value)?));
    }
    let (height, width) = height_and_width("size", value)?;
    Ok(Resize::Exact { height, width })
}

/// Reads `224`, `[height, width]` or `{"height": 224, "width": 224}`.
fn crop_size(value: &Value) -> Result<(u32, u32), String> {
    // What old feature extractors wrote as an int was saved by some versions under this key.
    let value = value.get("shortest_edge").filter(|edge| !edge.is_null()).unwrap_or(value);
    height_and_width("crop_size", value)
}

fn height_and_width(key: &str, value: &Value) -> Result<(u32, u32), String> {
    match value {
        Value::Object(map) => match (map.get("height"), map.get("width")) {
            (Some(height), Some(width)) => Ok((side(key, height)?, side(key, width)?)),
            _ => Err(format!("{key} is {}, which is not supported", shorten(&value.to_string(), 100))),
        },
        Value::Array(sides) if sides.len() == 2 => Ok((side(key, &sides[0])?, side(key, &sides[1])?)),
        value => side(key, value).map(|side| (side, side)),
    }
}

fn side(key: &str, value: &Value) -> Result<u32, String> {
    value
        .as_u64()
        .filter(|side| (1..=MAX_IMAGE_SIZE).contains(side))
        .map(|side| side as u32)
        .ok_or_else(|| format!("{key} is {}, it must be 1 to {MAX_IMAGE_SIZE}", shorten(&value.to_string(), 50)))
}

/// Reads a number for all channels or a list of three.
fn channels(key: &str, value: &Option<Value>, default: [f64; 3]) -> Result<[f64; 3], String> {
    let Some(value) = present(value) else { return Ok(default) };
    let number = |value: &Value| value.as_f64().filter(|number| (*number as f32).is_finite());
    let numbers = match value {
        Value::Array(list) if list.len() == 3 => list.iter().map(number).collect::<Option<Vec<f64>>>(),
        value => number(value).map(|number| vec![number; 3]),
    };
    numbers
        .and_then(|numbers| numbers.try_into().ok())
        .ok_or_else(|| format!("{key} is {}, it must be three numbers", shorten(&value.to_string(), 50)))
}

fn filter(resample: u8) -> Result<Filter, String> {
    Ok(match resample {
        0 => Filter::Nearest,
        1 => Filter::Lanczos,
        2 => Filter::Bilinear,
        3 => Filter::Bicubic,
        4 => Filter::Box,
        5 => Filter::Hamming,
        other => return Err(format!("resample is {other}, it must be 0 to 5")),
    })
}
