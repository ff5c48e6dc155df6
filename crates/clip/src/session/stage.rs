//! Batches of images where a session reads them: in the memory of its device, if that is not the CPU.

use std::sync::{Arc, Mutex, PoisonError};

use half::f16;
use half::slice::HalfFloatSliceExt;
use ndarray::ArrayView3;
use ort::memory::{AllocationDevice, Allocator, AllocatorType, MemoryInfo, MemoryType};
use ort::session::{Session, SharedSessionInner};
use ort::value::{DynTensor, DynValue, TensorElementType};

use super::failure::inference;
use crate::device::Provider;
use crate::error::{Error, Result};
use crate::spec::ModelSpec;

/// Pinned buffers that are kept for the next batches, each of the size of one.
const KEPT_BUFFERS: usize = 4;

/// Makes batches for an image encoder. It can do so on one thread while the encoder runs the batch before on another:
/// what is copied is copied beside computation.
#[derive(Debug)]
pub struct ImageStager {
    spec: ModelSpec,
    /// The batch size, where the graph fixes it.
    fixed: Option<usize>,
    /// Whether an image's vector would depend on the others of its run.
    one_by_one: bool,
    element: TensorElementType,
    cuda: Option<Cuda>,
}

/// Images that [`super::ImageEncoder::run`] takes.
#[derive(Debug)]
pub struct StagedImages {
    pub(super) runs: Vec<StagedRun>,
}

/// The input of one run of the graph.
#[derive(Debug)]
pub(super) struct StagedRun {
    pub input: DynValue,
    pub rows: usize,
    /// How many of the rows are wanted, from the first on.
    pub items: usize,
}

/// Memory of the host that a CUDA device reads by itself.
#[derive(Debug)]
struct Cuda {
    number: u32,
    /// Not to be used by two threads at a time.
    allocator: Mutex<Allocator>,
    free: Mutex<Vec<DynTensor>>,
    /// The allocator is the session's.
    _session: Arc<SharedSessionInner>,
}

impl ImageStager {
    pub(super) fn new(
        spec: &ModelSpec,
        session: &Session,
        provider: Provider,
        element: TensorElementType,
        fixed: Option<usize>,
        one_by_one: bool,
    ) -> Result<ImageStager> {
        let cuda = match provider {
            Provider::Cpu => None,
            Provider::Cuda(number) => {
                let cuda = Cuda::new(session, number).map_err(|error| inference(spec, &error.to_string()))?;
                Some(cuda)
            }
        };
        Ok(ImageStager { spec: spec.clone(), fixed, one_by_one, element, cuda })
    }

    /// A batch of images, each (3, height, width) from [`crate::Preprocessor::run`].
    ///
    /// # Errors
    /// [`Error::Inference`] where an image has another shape; [`Error::OutOfMemory`].
    pub fn stage(&self, batch: &[ArrayView3<'_, f32>]) -> Result<StagedImages> {
        let image = &self.spec.image;
        let shape = [3, image.height as usize, image.width as usize];
        if let Some(image) = batch.iter().find(|image| image.shape() != shape) {
            let reason = format!("an image has the shape {:?}, not {shape:?}", image.shape());
            return Err(Error::Inference { model: self.spec.name.to_string(), reason });
        }
        let most = if self.one_by_one { 1 } else { self.fixed.unwrap_or(batch.len()).max(1) };
        let parts = batch.chunks(most);
        let run = |part: &[ArrayView3<'_, f32>]| {
            let rows = match (self.fixed, &self.cuda) {
                (Some(rows), _) => rows,
                (None, Some(_)) => padded_rows(part.len()),
                (None, None) => part.len(),
            };
            let value = self.value(part, [rows, shape[0], shape[1], shape[2]]);
            let input = value.map_err(|error| inference(&self.spec, &format!("pixel_values: {error}")))?;
            Ok(StagedRun { input, rows, items: part.len() })
        };
        Ok(StagedImages { runs: parts.map(run).collect::<Result<_>>()? })
    }

    /// Missing images are copies of the first.
    fn value(&self, part: &[ArrayView3<'_, f32>], shape: [usize; 4]) -> ort::Result<DynValue> {
        let images = (0..shape[0]).map(|row| part.get(row).unwrap_or(&part[0]));
        let mut buffer = match &self.cuda {
            Some(cuda) => cuda.buffer(self.element, shape)?,
            None => DynTensor::new(&Allocator::default(), self.element, shape.map(|size| size as i64))?,
        };
        match self.element {
            TensorElementType::Float16 => fill(buffer.try_extract_tensor_mut()?.1, images, |from, to: &mut [f16]| {
                to.convert_from_f32_slice(from);
            }),
            _ => fill(buffer.try_extract_tensor_mut()?.1, images, |from, to: &mut [f32]| to.copy_from_slice(from)),
        }
        let Some(cuda) = &self.cuda else { return Ok(buffer.into_dyn()) };
        let copy = buffer.to(AllocationDevice::CUDA, cuda.number as i32)?;
        cuda.keep(buffer);
        Ok(copy.into_dyn())
    }
}

impl Cuda {
    fn new(session: &Session, number: u32) -> ort::Result<Cuda> {
        let memory =
            MemoryInfo::new(AllocationDevice::CUDA_PINNED, number as i32, AllocatorType::Device, MemoryType::CPUInput)?;
        let allocator = Mutex::new(Allocator::new(session, memory)?);
        Ok(Cuda { number, allocator, free: Mutex::default(), _session: session.inner() })
    }

    /// A kept buffer of this shape, or a new one. What is in it is of no use.
    fn buffer(&self, element: TensorElementType, shape: [usize; 4]) -> ort::Result<DynTensor> {
        let dims = shape.map(|size| size as i64);
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = free.iter().position(|buffer| **buffer.shape() == dims) {
            return Ok(free.swap_remove(found));
        }
        drop(free);
        let allocator = self.allocator.lock().unwrap_or_else(PoisonError::into_inner);
        DynTensor::new(&allocator, element, dims)
    }

    fn keep(&self, buffer: DynTensor) {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() == KEPT_BUFFERS {
            free.remove(0);
        }
        free.push(buffer);
    }
}

/// Rows of a batch on a CUDA device. A shape that is new costs some 10 ms there, and one to 32 images take equally long:
/// few shapes, and none that makes a run longer.
pub(super) fn padded_rows(rows: usize) -> usize {
    if rows <= 32 { rows.next_power_of_two() } else { rows.next_multiple_of(32) }
}

fn fill<'a, T>(
    values: &mut [T],
    images: impl Iterator<Item = &'a ArrayView3<'a, f32>>,
    convert: impl Fn(&[f32], &mut [T]),
) {
    let mut rest = values;
    for image in images {
        let (row, behind) = rest.split_at_mut(image.len());
        match image.as_slice() {
            Some(slice) => convert(slice, row),
            None => convert(&image.iter().copied().collect::<Vec<_>>(), row),
        }
        rest = behind;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_few_and_fit() {
        let shapes: std::collections::BTreeSet<usize> = (1..=128).map(padded_rows).collect();
        assert_eq!(shapes.into_iter().collect::<Vec<_>>(), [1, 2, 4, 8, 16, 32, 64, 96, 128]);
        for rows in 1..=5000 {
            let padded = padded_rows(rows);
            assert!(padded >= rows && (padded < 2 * rows || rows == 1) && padded_rows(padded) == padded, "{rows}");
        }
    }
}
