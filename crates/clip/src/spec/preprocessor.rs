//! preprocessor_config.json, as the image processor class that it names means it, or open_clip's preprocess_cfg.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::config::{Config, MAX_IMAGE_SIZE};
use super::files::ModelDir;
use super::open_clip::PREPROCESS;
use super::processor_class::{CLIP, Class, Kind, OPEN_CLIP, OPEN_CLIP_KEYS, OTHER_KEYS, SIGLIP};
use crate::error::{Result, shorten};
use crate::layouts::{Layout, Settings};

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
    /// True where the middle is cut out to height and width after resizing, with `fill` where the image is smaller.
    pub center_crop: bool,
    /// Where the middle of an odd rest is.
    pub crop_rounding: CropRounding,
    /// The 8-bit value of what a crop has beyond the image.
    pub fill: u8,
    /// True where the input's channels are blue, green, red.
    pub reverse_channels: bool,
    /// Factor on the 8-bit values.
    pub rescale: Option<f64>,
    /// Subtracted from and divided by after rescaling.
    pub normalize: Option<Normalize>,
}

impl ImageSpec {
    /// A factor and what is added after it, for each channel of the input: what rescaling and normalising are of 8-bit values.
    pub fn factors(&self) -> ([f32; 3], [f32; 3]) {
        let shift: [f32; 3] = std::array::from_fn(|channel| self.value(channel, 0));
        (std::array::from_fn(|channel| (self.value(channel, 255) - shift[channel]) / 255.0), shift)
    }

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
    /// The shorter side gets `shortest` pixels, or less where the longer one would have more than `longest`.
    ShortestEdgeWithin {
        /// Pixels of the shorter side.
        shortest: u32,
        /// Most pixels of the longer side.
        longest: u32,
    },
    /// As large as fits into height and width, the aspect ratio stays; open_clip's `longest`.
    Inside {
        /// Height in pixels.
        height: u32,
        /// Width in pixels.
        width: u32,
    },
    /// As small as covers height and width, the aspect ratio stays; open_clip's `shortest` where they differ.
    Outside {
        /// Height in pixels.
        height: u32,
        /// Width in pixels.
        width: u32,
    },
    /// Height and width are these, whatever the aspect ratio was.
    Exact {
        /// Height in pixels.
        height: u32,
        /// Width in pixels.
        width: u32,
    },
}

/// Where a centre crop starts when an odd number of pixels is left over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CropRounding {
    /// transformers': what is cut off is less at the left and top, what is filled is more there.
    Down,
    /// torchvision's: half of the rest is rounded to the nearest even number, and what is filled is less at the left and top.
    HalfEven,
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
    image_processor: Option<Map<String, Value>>,
}

pub(super) fn read(dir: &ModelDir, config: &Config, layout: &Layout) -> Result<ImageSpec> {
    let settings = layout.settings;
    let [own, combined] = [FILE, COMBINED].map(|file| format!("{}{file}", layout.image_folder));
    let (name, file) = match settings {
        Settings::Immich | Settings::OpenClip => {
            let name = if settings == Settings::Immich { PREPROCESS } else { "open_clip_config.json" };
            let keys = match config.preprocess.clone().unwrap_or_default() {
                Value::Null => Map::new(),
                Value::Object(keys) => keys,
                _ => return Err(dir.bad(name, "the preprocessing is not an object")),
            };
            (name.to_owned(), File { keys, class: OPEN_CLIP })
        }
        Settings::Transformers => {
            let (name, keys) = match dir.parse_optional::<Map<String, Value>>(&own)? {
                Some(keys) => (own, keys),
                None => {
                    match dir.parse_optional::<Combined>(&combined)?.and_then(|combined| combined.image_processor) {
                        Some(keys) => (combined, keys),
                        None => return Err(dir.bad(&own, "there is no such file")),
                    }
                }
            };
            let class = class(&keys, config).map_err(|reason| dir.bad(&name, reason))?;
            (name, File { keys, class })
        }
    };
    let read = || {
        file.check_keys()?;
        let spec = if file.class.kind == Kind::OpenClip { file.open_clip(config)? } else { file.transformers()? };
        check(spec, config, settings)
    };
    read().map_err(|reason| dir.bad(&name, reason))
}

fn class(keys: &Map<String, Value>, config: &Config) -> Result<Class, String> {
    let named = ["image_processor_type", "feature_extractor_type"].iter().find_map(|key| keys.get(*key)?.as_str());
    match named {
        Some(name) => Class::named(&shorten(name, 100)),
        None if config.model_type.starts_with("siglip") => Ok(SIGLIP),
        None if ["mean", "std", "interpolation", "resize_mode"].iter().any(|key| keys.contains_key(*key)) => {
            Ok(OPEN_CLIP)
        }
        None => Ok(CLIP),
    }
}

/// The keys of a file and the class that they are for.
struct File {
    keys: Map<String, Value>,
    class: Class,
}

impl File {
    /// A key's value; `None` where it is missing or null.
    fn get(&self, key: &str) -> Option<&Value> {
        self.keys.get(key).filter(|value| !value.is_null())
    }

    fn switch(&self, key: &str, default: bool) -> Result<bool, String> {
        match self.get(key) {
            None => Ok(default),
            Some(Value::Bool(value)) => Ok(*value),
            Some(other) => Err(format!("{key} is {}, it must be true or false", shorten(&other.to_string(), 50))),
        }
    }

    fn number(&self, key: &str, default: f64) -> Result<f64, String> {
        match self.get(key) {
            None => Ok(default),
            Some(value) => value
                .as_f64()
                .filter(|number| number.is_normal())
                .ok_or_else(|| format!("{key} is {}", shorten(&value.to_string(), 50))),
        }
    }

    /// What is off, or nothing, asks for nothing; any other key that is not known may change pixels.
    fn check_keys(&self) -> Result<(), String> {
        let is_known = |key: &str| self.class.reads(key) || OTHER_KEYS.contains(&key);
        let is_off = |value: &Value| value.is_null() || *value == Value::Bool(false);
        let unknown = self.keys.iter().find(|(key, value)| !is_known(key) && !is_off(value));
        match unknown {
            None => Ok(()),
            Some((key, _)) if OPEN_CLIP_KEYS.contains(&key.as_str()) => Err(format!(
                "{} is a key of open_clip, and the image processor is one of transformers",
                shorten(key, 50)
            )),
            Some((key, _)) => Err(format!("the key {} is not known", shorten(key, 50))),
        }
    }

    fn transformers(&self) -> Result<ImageSpec, String> {
        let class = self.class;
        if self.switch("do_pad", false)? {
            return Err("do_pad is not supported".to_owned());
        }
        let mut resize = match (self.switch("do_resize", true)?, self.get("size")) {
            (false, _) => None,
            (true, None) => Some(class.size),
            (true, Some(value)) => Some(resize(value, class.number_is_square)?),
        };
        if class.kind == Kind::Plain
            && self.switch("use_square_size", false)?
            && let Some(Resize::ShortestEdge(edge)) = resize
        {
            resize = Some(Resize::Exact { height: edge, width: edge });
        }
        let mut crop = match (self.switch("do_center_crop", class.center_crop)?, self.get("crop_size")) {
            (false, _) => None,
            (true, None) => Some((class.crop, class.crop)),
            (true, Some(value)) => Some(crop_size(value)?),
        };
        match (class.kind, resize) {
            (Kind::ConvNext, Some(Resize::ShortestEdge(edge))) if crop.is_none() => {
                let part = self.number("crop_pct", 224.0 / 256.0)?;
                if !(0.1..=1.0).contains(&part) {
                    return Err(format!("crop_pct is {part}, it must be 0.1 to 1"));
                }
                if edge < 384 {
                    resize = Some(Resize::ShortestEdge((f64::from(edge) / part) as u32));
                    crop = Some((edge, edge));
                } else {
                    resize = Some(Resize::Exact { height: edge, width: edge });
                }
            }
            (Kind::ConvNext, Some(_)) => {
                return Err("size is not that of a shortest edge, or do_center_crop is set".to_owned());
            }
            (Kind::Levit, Some(Resize::ShortestEdge(edge))) => {
                resize = Some(Resize::ShortestEdge((256.0 / 224.0 * f64::from(edge)) as u32));
            }
            _ => {}
        }
        let (height, width) = match (crop, resize) {
            (Some(size), _) => size,
            (None, Some(Resize::Exact { height, width })) => (height, width),
            (None, _) => {
                return Err("images would keep different sizes: it neither crops nor resizes exactly".to_owned());
            }
        };
        let rescale = match self.switch("do_rescale", true)? {
            true => Some(self.number("rescale_factor", 1.0 / 255.0)?),
            false => None,
        };
        Ok(ImageSpec {
            height,
            width,
            resize,
            filter: self.get("resample").map_or(Ok(class.filter), |value| filter("resample", value))?,
            center_crop: crop.is_some(),
            crop_rounding: CropRounding::Down,
            fill: 0,
            reverse_channels: class.kind == Kind::MobileVit && self.switch("do_flip_channel_order", true)?,
            rescale,
            normalize: self.normalize(rescale.is_some())?,
        })
    }

    fn normalize(&self, rescales: bool) -> Result<Option<Normalize>, String> {
        let class = self.class;
        let mut normalize = match class.kind != Kind::MobileVit && self.switch("do_normalize", true)? {
            true => Some(Normalize {
                mean: self.channels("image_mean", class.mean)?,
                std: self.channels("image_std", class.std)?,
            }),
            false => None,
        };
        if class.kind == Kind::EfficientNet {
            // Both are further steps of the class, and the same as other means and deviations.
            if self.switch("include_top", true)? {
                let std = self.channels("image_std", class.std)?;
                let Normalize { mean, std: before } = normalize.unwrap_or(Normalize { mean: [0.0; 3], std: [1.0; 3] });
                normalize =
                    Some(Normalize { mean, std: std::array::from_fn(|channel| before[channel] * std[channel]) });
            }
            if rescales && self.switch("rescale_offset", false)? {
                let Normalize { mean, std } = normalize.unwrap_or(Normalize { mean: [0.0; 3], std: [1.0; 3] });
                normalize = Some(Normalize { mean: mean.map(|mean| mean + 1.0), std });
            }
        }
        // The reference divides in single precision.
        if normalize.is_some_and(|normalize| normalize.std.iter().any(|&value| !(value as f32).is_normal())) {
            return Err("image_std has a zero".to_owned());
        }
        Ok(normalize)
    }

    fn open_clip(&self, config: &Config) -> Result<ImageSpec, String> {
        if self.get("mode").is_some_and(|mode| mode != "RGB") {
            return Err("mode is not RGB".to_owned());
        }
        let (height, width) = match (self.get("size"), config.image_size) {
            (Some(Value::Array(sides)), _) if sides.len() == 1 => (side("size", &sides[0])?, side("size", &sides[0])?),
            (Some(value), _) => height_and_width("size", value)?,
            (None, Some(size)) => size,
            (None, None) => (224, 224),
        };
        let word = |key, default| match self.get(key) {
            None => Ok(default),
            Some(Value::String(word)) => Ok(word.as_str()),
            Some(other) => Err(format!("{key} is {}", shorten(&other.to_string(), 50))),
        };
        let mut filter = match word("interpolation", "bicubic")? {
            // open_clip trains with any, and embeds with bicubic.
            "bicubic" | "random" => Filter::Bicubic,
            "bilinear" => Filter::Bilinear,
            other => return Err(format!("interpolation is {}, it must be bicubic or bilinear", shorten(other, 50))),
        };
        let (resize, center_crop) = match word("resize_mode", "shortest")? {
            "shortest" if height == width => (Resize::ShortestEdge(height), true),
            "shortest" => {
                filter = Filter::Bicubic;
                (Resize::Outside { height, width }, true)
            }
            "longest" => (Resize::Inside { height, width }, true),
            "squash" => (Resize::Exact { height, width }, false),
            other => {
                return Err(format!("resize_mode is {}, it must be shortest, longest or squash", shorten(other, 50)));
            }
        };
        let fill = match self.get("fill_color") {
            None => 0,
            Some(value) => value
                .as_u64()
                .and_then(|value| u8::try_from(value).ok())
                .ok_or_else(|| format!("fill_color is {}, it must be 0 to 255", shorten(&value.to_string(), 50)))?,
        };
        let (mean, std) = (self.channels("mean", CLIP.mean)?, self.channels("std", CLIP.std)?);
        if std.iter().any(|&value| !(value as f32).is_normal()) {
            return Err("std has a zero".to_owned());
        }
        Ok(ImageSpec {
            height,
            width,
            resize: Some(resize),
            filter,
            center_crop,
            crop_rounding: CropRounding::HalfEven,
            fill: if matches!(resize, Resize::Inside { .. }) { fill } else { 0 },
            reverse_channels: false,
            rescale: Some(1.0 / 255.0),
            normalize: Some(Normalize { mean, std }),
        })
    }

    /// A number for all channels or a list of three.
    fn channels(&self, key: &str, default: [f64; 3]) -> Result<[f64; 3], String> {
        self.get(key).map_or(Ok(default), |value| channels(key, value))
    }
}

fn check(spec: ImageSpec, config: &Config, settings: Settings) -> Result<ImageSpec, String> {
    let (height, width) = (spec.height, spec.width);
    if let Some((wanted_height, wanted_width)) = config.image_size
        && (wanted_height, wanted_width) != (height, width)
    {
        let key = if settings == Settings::Transformers { "vision_config" } else { "vision_cfg" };
        return Err(format!(
            "it makes {height} x {width} pixels, {key}.image_size of the configuration is {wanted_height} x {wanted_width}"
        ));
    }
    // All other values are between these.
    if (0..3).any(|channel| [0, 255].iter().any(|&level| !spec.value(channel, level).is_finite())) {
        return Err("rescale_factor, image_mean and image_std make values that are not finite".to_owned());
    }
    Ok(spec)
}

/// Reads `224`, `[height, width]`, `{"shortest_edge": 224}` or `{"height": 224, "width": 224}`.
fn resize(value: &Value, int_is_square: bool) -> Result<Resize, String> {
    if let Some(edge) = value.get("shortest_edge").filter(|edge| !edge.is_null()) {
        let shortest = side("size.shortest_edge", edge)?;
        return Ok(match value.get("longest_edge").filter(|edge| !edge.is_null()) {
            Some(edge) => Resize::ShortestEdgeWithin { shortest, longest: side("size.longest_edge", edge)? },
            None => Resize::ShortestEdge(shortest),
        });
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
fn channels(key: &str, value: &Value) -> Result<[f64; 3], String> {
    let number = |value: &Value| value.as_f64().filter(|number| (*number as f32).is_finite());
    let numbers = match value {
        Value::Array(list) if list.len() == 3 => list.iter().map(number).collect::<Option<Vec<f64>>>(),
        value => number(value).map(|number| vec![number; 3]),
    };
    numbers
        .and_then(|numbers| numbers.try_into().ok())
        .ok_or_else(|| format!("{key} is {}, it must be three numbers", shorten(&value.to_string(), 50)))
}

/// Reads PIL's number of a filter, or its name.
fn filter(key: &str, value: &Value) -> Result<Filter, String> {
    const FILTERS: [(&str, Filter); 6] = [
        ("nearest", Filter::Nearest),
        ("lanczos", Filter::Lanczos),
        ("bilinear", Filter::Bilinear),
        ("bicubic", Filter::Bicubic),
        ("box", Filter::Box),
        ("hamming", Filter::Hamming),
    ];
    let number = value.as_u64().and_then(|number| FILTERS.get(usize::try_from(number).ok()?));
    let named = value.as_str().and_then(|name| FILTERS.iter().find(|(known, _)| name.eq_ignore_ascii_case(known)));
    number.or(named).map(|(_, filter)| *filter).ok_or_else(|| {
        format!("{key} is {}, it must be 0 to 5 or the name of a filter of PIL", shorten(&value.to_string(), 50))
    })
}
