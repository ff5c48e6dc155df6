//! Where a model runs and in which precision.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result, shorten};
use crate::spec::Modality;

/// The device that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Device {
    /// The first CUDA device where there is one that works, the CPU otherwise; the encoder tells which and why.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The CUDA device of this number, or an error.
    Cuda(u32),
}

impl FromStr for Device {
    type Err = Error;

    /// Reads `auto`, `cpu`, `cuda` (the device number 0) or `cuda:N`.
    fn from_str(value: &str) -> Result<Device> {
        let invalid = || Error::InvalidDevice { value: shorten(value, 100) };
        match value {
            "auto" => Ok(Device::Auto),
            "cpu" => Ok(Device::Cpu),
            "cuda" => Ok(Device::Cuda(0)),
            _ => {
                let number = value.strip_prefix("cuda:").ok_or_else(invalid)?;
                let digits = (1..=3).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit());
                if digits { number.parse().map(Device::Cuda).map_err(|_| invalid()) } else { Err(invalid()) }
            }
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Device::Auto => f.write_str("auto"),
            Device::Cpu => f.write_str("cpu"),
            Device::Cuda(number) => write!(f, "cuda:{number}"),
        }
    }
}

/// The devices that an encoder runs on: a session on each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Devices {
    /// These, at least one. A CUDA device that is named twice has two sessions.
    Each(Vec<Device>),
    /// All CUDA devices that there are, at least one.
    AllCuda,
}

impl FromStr for Devices {
    type Err = Error;

    /// Reads what [`Device`] reads, `cuda:all`, or several CUDA devices separated by commas.
    fn from_str(value: &str) -> Result<Devices> {
        if value == "cuda:all" {
            return Ok(Devices::AllCuda);
        }
        let invalid = || Error::InvalidDevice { value: shorten(value, 100) };
        let devices = value.split(',').map(|name| name.trim_matches(' ').parse());
        let devices: Vec<Device> = devices.collect::<Result<_>>().map_err(|_| invalid())?;
        // A batch on the CPU would hold up what a GPU does a hundred times as fast.
        if devices.len() > 1 && !devices.iter().all(|device| matches!(device, Device::Cuda(_))) {
            return Err(invalid());
        }
        Ok(Devices::Each(devices))
    }
}

/// The execution provider that a session really got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Provider {
    /// ONNX Runtime's CPU execution provider.
    Cpu,
    /// ONNX Runtime's CUDA execution provider on the device of this number.
    Cuda(u32),
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Provider::Cpu => f.write_str("cpu"),
            Provider::Cuda(number) => write!(f, "cuda:{number}"),
        }
    }
}

/// Which of a model's ONNX files are used. The names are those of Transformers.js' exports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Precision {
    /// `text_model.onnx`, `vision_model.onnx`
    #[default]
    Fp32,
    /// `…_fp16.onnx`
    Fp16,
    /// `…_w8a8.onnx`: products of 8-bit integers with scales from a calibration
    W8a8,
    /// `…_int8.onnx`
    Int8,
    /// `…_uint8.onnx`
    Uint8,
    /// `…_quantized.onnx`
    Quantized,
    /// `…_q4.onnx`
    Q4,
    /// `…_q4f16.onnx`
    Q4f16,
    /// `…_bnb4.onnx`
    Bnb4,
}

impl Precision {
    /// All precisions, the most exact first.
    pub const ALL: [Precision; 9] = [
        Precision::Fp32,
        Precision::Fp16,
        Precision::W8a8,
        Precision::Quantized,
        Precision::Int8,
        Precision::Uint8,
        Precision::Q4,
        Precision::Q4f16,
        Precision::Bnb4,
    ];

    /// The name, such as `fp16`.
    pub fn as_str(self) -> &'static str {
        match self {
            Precision::Fp32 => "fp32",
            Precision::Fp16 => "fp16",
            Precision::W8a8 => "w8a8",
            Precision::Int8 => "int8",
            Precision::Uint8 => "uint8",
            Precision::Quantized => "quantized",
            Precision::Q4 => "q4",
            Precision::Q4f16 => "q4f16",
            Precision::Bnb4 => "bnb4",
        }
    }

    /// The names of all precisions, for messages.
    pub(crate) fn names() -> String {
        Precision::ALL.map(Precision::as_str).join(", ")
    }

    /// What stands between a file's name and `.onnx`.
    pub(crate) fn suffix(self) -> String {
        match self {
            Precision::Fp32 => String::new(),
            other => format!("_{other}"),
        }
    }
}

/// The precisions of a model's two encoders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Precisions {
    /// That of the text encoder.
    pub text: Precision,
    /// That of the image encoder.
    pub image: Precision,
}

impl Precisions {
    /// The precision of an encoder.
    pub fn of(self, modality: Modality) -> Precision {
        match modality {
            Modality::Text => self.text,
            Modality::Image => self.image,
        }
    }
}

impl From<Precision> for Precisions {
    fn from(both: Precision) -> Precisions {
        Precisions { text: both, image: both }
    }
}

impl fmt::Display for Precisions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Precisions { text, image } = self;
        if text == image { text.fmt(f) } else { write!(f, "text {text}, image {image}") }
    }
}

impl FromStr for Precision {
    type Err = Error;

    fn from_str(value: &str) -> Result<Precision> {
        Precision::ALL
            .into_iter()
            .find(|precision| precision.as_str() == value)
            .ok_or_else(|| Error::InvalidPrecision { value: shorten(value, 100) })
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
