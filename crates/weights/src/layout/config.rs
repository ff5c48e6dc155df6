//! What the configurations of several layouts have in common.

use serde_json::Value;

use crate::error::{Error, Result, shorten};
use crate::model::{Activation, Grid};

/// A JSON object in a file, with errors that name both.
#[derive(Debug, Clone, Copy)]
pub(super) struct Section<'a> {
    pub file: &'a str,
    /// Such as `text_config.`, in front of the keys of errors.
    pub prefix: &'a str,
    pub value: &'a Value,
}

impl<'a> Section<'a> {
    /// The value of a key that is there and not null.
    pub fn get(&self, key: &str) -> Option<&'a Value> {
        self.value.get(key).filter(|value| !value.is_null())
    }

    pub fn bad(&self, key: &str, value: &Value) -> Error {
        Error::bad(self.file, format!("{}{key} is {}", self.prefix, shorten(&value.to_string(), 60)))
    }

    pub fn unsupported(&self, key: &str, value: &Value) -> Error {
        Error::unsupported(self.file, format!("{}{key} = {}", self.prefix, shorten(&value.to_string(), 60)))
    }

    pub fn size(&self, key: &str, default: usize) -> Result<usize> {
        match self.get(key) {
            None => Ok(default),
            Some(value) => {
                let size = value.as_u64().and_then(|size| u32::try_from(size).ok());
                size.map(|size| size as usize).ok_or_else(|| self.bad(key, value))
            }
        }
    }

    pub fn number(&self, key: &str, default: f64) -> Result<f64> {
        match self.get(key) {
            None => Ok(default),
            Some(value) => value.as_f64().filter(|number| number.is_finite()).ok_or_else(|| self.bad(key, value)),
        }
    }

    pub fn flag(&self, key: &str, default: bool) -> Result<bool> {
        match self.get(key) {
            None => Ok(default),
            Some(value) => value.as_bool().ok_or_else(|| self.bad(key, value)),
        }
    }

    pub fn text(&self, key: &str) -> Result<Option<&'a str>> {
        match self.get(key) {
            None => Ok(None),
            Some(value) => value.as_str().map(Some).ok_or_else(|| self.bad(key, value)),
        }
    }

    /// Reads `224` or `[224, 224]` (height, width).
    pub fn grid(&self, key: &str, default: usize) -> Result<Grid> {
        let side = |value: &Value| value.as_u64().and_then(|side| u16::try_from(side).ok()).map(usize::from);
        let Some(value) = self.get(key) else { return Ok(Grid { height: default, width: default }) };
        let grid = match value {
            Value::Array(sides) if sides.len() == 2 => side(&sides[0]).zip(side(&sides[1])),
            value => side(value).map(|side| (side, side)),
        };
        grid.map(|(height, width)| Grid { height, width }).ok_or_else(|| self.bad(key, value))
    }

    /// A name of transformers' for an activation.
    pub fn activation(&self, key: &str, default: Activation) -> Result<Activation> {
        let Some(value) = self.get(key) else { return Ok(default) };
        match value.as_str() {
            Some("quick_gelu") => Ok(Activation::QuickGelu),
            Some("gelu") => Ok(Activation::Gelu),
            Some("gelu_pytorch_tanh" | "gelu_new" | "gelu_fast") => Ok(Activation::GeluTanh),
            _ => Err(self.unsupported(key, value)),
        }
    }
}
