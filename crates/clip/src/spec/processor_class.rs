//! The image processor classes that are known, and what each does where its file says nothing.
//!
//! After transformers 5, whose classes are named in preprocessor_config.json. A class that is not here may do anything to an
//! image, so that its name is an error, and so is a key that a class does not have.

use super::preprocessor::{Filter, Resize};

const HALF: [f64; 3] = [0.5; 3];
const CLIP_MEAN: [f64; 3] = [0.48145466, 0.4578275, 0.40821073];
const CLIP_STD: [f64; 3] = [0.26862954, 0.26130258, 0.27577711];
const IMAGENET_MEAN: [f64; 3] = [0.485, 0.456, 0.406];
const IMAGENET_STD: [f64; 3] = [0.229, 0.224, 0.225];

/// What the classes do that the common keys do not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing.
    Plain,
    /// Resizes to `size / crop_pct` and crops where `size` is below 384; squashes where it is not.
    ConvNext,
    /// Resizes to 256/224 of `size`.
    Levit,
    /// Blue, green, red, and no normalisation.
    MobileVit,
    /// Values from -1, and a second division by the deviation.
    EfficientNet,
    /// open_clip's own keys.
    OpenClip,
}

/// An image processor class, with its defaults.
#[derive(Debug, Clone, Copy)]
pub(super) struct Class {
    pub kind: Kind,
    pub size: Resize,
    /// Whether a number for `size` is both sides, or the shorter one.
    pub number_is_square: bool,
    pub center_crop: bool,
    /// Side of the crop.
    pub crop: u32,
    pub filter: Filter,
    pub mean: [f64; 3],
    pub std: [f64; 3],
}

pub(super) const CLIP: Class = Class {
    kind: Kind::Plain,
    size: Resize::ShortestEdge(224),
    number_is_square: false,
    center_crop: true,
    crop: 224,
    filter: Filter::Bicubic,
    mean: CLIP_MEAN,
    std: CLIP_STD,
};

pub(super) const SIGLIP: Class =
    Class { size: square(224), number_is_square: true, center_crop: false, mean: HALF, std: HALF, ..CLIP };

pub(super) const OPEN_CLIP: Class = Class { kind: Kind::OpenClip, ..CLIP };

const VIT: Class = Class { filter: Filter::Bilinear, ..SIGLIP };

const fn square(side: u32) -> Resize {
    Resize::Exact { height: side, width: side }
}

impl Class {
    /// The class of a name such as `CLIPImageProcessor`, `CLIPImageProcessorFast` or `CLIPFeatureExtractor`.
    pub fn named(name: &str) -> Result<Class, String> {
        let stem = ["Fast", "Pil"].iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name);
        let stem = ["ImageProcessor", "FeatureExtractor"].iter().find_map(|suffix| stem.strip_suffix(suffix));
        Ok(match stem.unwrap_or(name) {
            "CLIP" | "ChineseCLIP" | "Bit" => CLIP,
            "Siglip" => SIGLIP,
            "ViT" => VIT,
            "DeiT" => Class { size: square(256), center_crop: true, filter: Filter::Bicubic, ..VIT },
            "ConvNext" => Class {
                kind: Kind::ConvNext,
                size: Resize::ShortestEdge(384),
                center_crop: false,
                mean: HALF,
                std: HALF,
                ..CLIP
            },
            "Levit" => Class { kind: Kind::Levit, mean: IMAGENET_MEAN, std: IMAGENET_STD, ..CLIP },
            "MobileViT" => Class { kind: Kind::MobileVit, crop: 256, ..CLIP },
            "EfficientNet" => {
                Class { kind: Kind::EfficientNet, size: square(346), crop: 289, filter: Filter::Bicubic, ..VIT }
            }
            "JinaCLIP" => OPEN_CLIP,
            "Siglip2" => {
                return Err(format!(
                    "the image processor {name} makes patches of images of any size, which is not supported"
                ));
            }
            _ => return Err(format!("the image processor {name} is not known")),
        })
    }

    /// Whether a key of its file decides pixels and is understood.
    pub fn reads(self, key: &str) -> bool {
        let own: &[&str] = match self.kind {
            Kind::Plain => &["use_square_size"],
            Kind::Levit => &[],
            Kind::ConvNext => &["crop_pct"],
            Kind::MobileVit => &["do_flip_channel_order"],
            Kind::EfficientNet => &["rescale_offset", "include_top"],
            Kind::OpenClip => return OPEN_CLIP_KEYS.contains(&key),
        };
        COMMON_KEYS.contains(&key) || own.contains(&key)
    }
}

const COMMON_KEYS: [&str; 11] = [
    "do_resize",
    "size",
    "resample",
    "do_center_crop",
    "crop_size",
    "do_rescale",
    "rescale_factor",
    "do_normalize",
    "image_mean",
    "image_std",
    "do_pad",
];

/// Keys of open_clip's `PreprocessCfg`.
pub(super) const OPEN_CLIP_KEYS: [&str; 7] =
    ["size", "mode", "mean", "std", "interpolation", "resize_mode", "fill_color"];

/// Keys that decide no pixel of a decoded image.
pub(super) const OTHER_KEYS: [&str; 15] = [
    "_valid_processor_keys",
    "auto_map",
    "data_format",
    "default_to_square",
    "device",
    "disable_grouping",
    "do_convert_rgb",
    "do_reduce_labels",
    "feature_extractor_type",
    "image_processor_type",
    "image_seq_length",
    "input_data_format",
    "processor_class",
    "return_tensors",
    "transformers_version",
];
