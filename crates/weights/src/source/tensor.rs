//! One tensor in a file: where it lies, and reading its values in parts.

use std::fmt;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use half::{bf16, f16};

use crate::error::{Error, Result};

/// Values that are read at once.
const PART: usize = 1 << 18;
/// Most dimensions of a tensor.
const MAX_RANK: usize = 8;

/// Type of a tensor's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum DType {
    F64,
    F32,
    F16,
    BF16,
    /// Anything that is no weight: indexes, masks, quantised values.
    Other(&'static str),
}

impl DType {
    pub fn is_float(self) -> bool {
        !matches!(self, DType::Other(_))
    }

    /// Bytes of a value.
    pub fn size(self) -> usize {
        match self {
            DType::F64 => 8,
            DType::F32 => 4,
            DType::F16 | DType::BF16 => 2,
            DType::Other(_) => 0,
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DType::F64 => "F64",
            DType::F32 => "F32",
            DType::F16 => "F16",
            DType::BF16 => "BF16",
            DType::Other(name) => name,
        })
    }
}

/// A file of weights that is open.
#[derive(Debug)]
pub(super) struct Storage {
    pub file: File,
    pub name: String,
}

/// A tensor, not read yet. Its bytes are known to lie within the file.
#[derive(Debug, Clone)]
pub(crate) struct Tensor {
    pub name: Arc<str>,
    pub dtype: DType,
    pub shape: Vec<usize>,
    /// Steps between neighbours of each dimension, in values.
    strides: Vec<usize>,
    /// The byte at which its first value lies.
    start: u64,
    storage: Arc<Storage>,
}

impl Tensor {
    /// A tensor whose values follow each other, the last dimension first. `room` is the number of bytes that the file
    /// has for it from `start` on.
    pub(super) fn new(
        name: &str,
        dtype: DType,
        shape: Vec<usize>,
        start: u64,
        room: u64,
        storage: &Arc<Storage>,
    ) -> Result<Tensor, String> {
        let mut strides = vec![1usize; shape.len()];
        for dimension in (1..shape.len()).rev() {
            strides[dimension - 1] =
                strides[dimension].checked_mul(shape[dimension].max(1)).ok_or("its shape is too large")?;
        }
        Tensor::strided(name, dtype, shape, strides, start, room, storage)
    }

    /// A tensor with its own steps between values, which may be transposed but not overlap.
    pub(super) fn strided(
        name: &str,
        dtype: DType,
        shape: Vec<usize>,
        strides: Vec<usize>,
        start: u64,
        room: u64,
        storage: &Arc<Storage>,
    ) -> Result<Tensor, String> {
        if shape.len() > MAX_RANK || shape.len() != strides.len() {
            return Err(format!("it has {} dimensions", shape.len()));
        }
        let elements = shape.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
        let elements = elements.ok_or("its shape is too large")?;
        let last = shape
            .iter()
            .zip(&strides)
            .try_fold(0usize, |last, (&size, &stride)| last.checked_add(size.saturating_sub(1).checked_mul(stride)?));
        let span = last.and_then(|last| last.checked_add(1)).ok_or("its shape is too large")?;
        // Steps of 0 would make much of a small file.
        if elements > span {
            return Err("its values overlap".to_owned());
        }
        let bytes = (span as u64).checked_mul(dtype.size() as u64).ok_or("its shape is too large")?;
        if elements > 0 && bytes > room {
            return Err(format!("its values lie beyond the end of their storage ({bytes} of {room} bytes)"));
        }
        Ok(Tensor { name: name.into(), dtype, shape, strides, start, storage: Arc::clone(storage) })
    }

    /// Number of values.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// Some of the rows, that is, of the first dimension.
    pub fn rows(&self, rows: Range<usize>) -> Tensor {
        let mut part = self.clone();
        part.start += (rows.start * self.strides[0] * self.dtype.size()) as u64;
        part.shape[0] = rows.len();
        part
    }

    /// Reads the values in the order of the shape and hands them over in parts.
    pub fn read(&self, take: &mut dyn FnMut(&[f32]) -> Result<()>) -> Result<()> {
        if self.elements() == 0 {
            Ok(())
        } else if self.is_contiguous() {
            self.read_straight(take)
        } else {
            self.read_strided(take)
        }
    }

    fn is_contiguous(&self) -> bool {
        let mut step = 1;
        self.shape.iter().zip(&self.strides).rev().all(|(&size, &stride)| {
            let fits = size == 1 || stride == step;
            step *= size;
            fits
        })
    }

    fn read_straight(&self, take: &mut dyn FnMut(&[f32]) -> Result<()>) -> Result<()> {
        let total = self.elements();
        let (mut bytes, mut values) = (Vec::new(), Vec::new());
        for first in (0..total).step_by(PART) {
            self.load(first, PART.min(total - first), &mut bytes, &mut values)?;
            take(&values)?;
        }
        Ok(())
    }

    /// Loads all that lies between the first value and the last, and picks.
    fn read_strided(&self, take: &mut dyn FnMut(&[f32]) -> Result<()>) -> Result<()> {
        let span = self.shape.iter().zip(&self.strides).map(|(&size, &stride)| (size - 1) * stride).sum::<usize>() + 1;
        let (mut bytes, mut values) = (Vec::new(), Vec::new());
        self.load(0, span, &mut bytes, &mut values)?;
        let mut index = vec![0; self.shape.len()];
        let mut part = Vec::with_capacity(PART.min(self.elements()));
        for _ in 0..self.elements() {
            part.push(values[index.iter().zip(&self.strides).map(|(&at, &stride)| at * stride).sum::<usize>()]);
            if part.len() == PART {
                take(&part)?;
                part.clear();
            }
            for dimension in (0..index.len()).rev() {
                index[dimension] += 1;
                if index[dimension] < self.shape[dimension] {
                    break;
                }
                index[dimension] = 0;
            }
        }
        if part.is_empty() { Ok(()) } else { take(&part) }
    }

    /// Loads values that follow each other in the file.
    fn load(&self, first: usize, count: usize, bytes: &mut Vec<u8>, values: &mut Vec<f32>) -> Result<()> {
        let size = self.dtype.size();
        bytes.resize(count * size, 0);
        let at = self.start + (first * size) as u64;
        self.storage.file.read_exact_at(bytes, at).map_err(|error| {
            Error::bad(&self.storage.name, format!("tensor \"{}\" could not be read: {error}", self.name))
        })?;
        values.clear();
        match self.dtype {
            DType::F64 => values.extend(chunks(bytes).map(|bytes| f64::from_le_bytes(bytes) as f32)),
            DType::F32 => values.extend(chunks(bytes).map(f32::from_le_bytes)),
            DType::F16 => values.extend(chunks(bytes).map(|bytes| f16::from_le_bytes(bytes).to_f32())),
            DType::BF16 => values.extend(chunks(bytes).map(|bytes| bf16::from_le_bytes(bytes).to_f32())),
            DType::Other(_) => {}
        }
        if values.iter().any(|value| !value.is_finite()) {
            let reason = "has values that are not finite".to_owned();
            return Err(Error::BadTensor { tensor: self.name.to_string(), reason });
        }
        Ok(())
    }
}

fn chunks<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; N]> {
    bytes.as_chunks::<N>().0.iter().copied()
}
