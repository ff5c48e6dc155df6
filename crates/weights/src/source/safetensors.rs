//! `.safetensors`: a length, a JSON header of that length, and the values.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use safetensors::Dtype;
use safetensors::tensor::Metadata;

use super::tensor::{DType, Storage, Tensor};
use crate::error::{Error, Result, shorten};

/// Most bytes of the header. A thousand tensors need 150,000.
const MAX_HEADER: u64 = 8 << 20;
const LENGTH: u64 = 8;

/// The tensors of a file, whose header is checked: no gaps, no overlaps, shapes that fit, and not a byte too few.
pub(super) fn read((file, length): (File, u64), name: &str) -> Result<BTreeMap<String, Tensor>> {
    let bad = |reason: String| Error::bad(name, reason);
    let mut header = [0; LENGTH as usize];
    file.read_exact_at(&mut header, 0).map_err(|_| bad(format!("{length} bytes are no safetensors file")))?;
    let header = u64::from_le_bytes(header);
    if header > MAX_HEADER {
        return Err(bad(format!("its header has {header} bytes, at most {MAX_HEADER} are read")));
    }
    if header > length - LENGTH {
        return Err(bad(format!("its header has {header} bytes, the file {length}")));
    }
    let mut json = vec![0; header as usize];
    file.read_exact_at(&mut json, LENGTH).map_err(|error| bad(error.to_string()))?;
    let metadata: Metadata = serde_json::from_slice(&json)
        .map_err(|error| bad(format!("its header is malformed: {}", shorten(&error.to_string(), 200))))?;
    let start = LENGTH + header;
    let promised = (metadata.data_len() as u64).checked_add(start);
    if promised != Some(length) {
        let promised = promised.map_or("too many".to_owned(), |bytes| bytes.to_string());
        return Err(bad(format!("it has {length} bytes, its header says {promised}")));
    }
    let storage = Arc::new(Storage { file, name: name.to_owned() });
    let tensors = metadata.tensors().into_iter().map(|(tensor, info)| {
        let (from, to) = (info.data_offsets.0 as u64, info.data_offsets.1 as u64);
        let made = Tensor::new(&tensor, dtype(info.dtype), info.shape.clone(), start + from, to - from, &storage);
        match made {
            Ok(made) => Ok((tensor, made)),
            Err(reason) => Err(bad(format!("tensor \"{}\": {reason}", shorten(&tensor, 200)))),
        }
    });
    tensors.collect()
}

fn dtype(dtype: Dtype) -> DType {
    match dtype {
        Dtype::F64 => DType::F64,
        Dtype::F32 => DType::F32,
        Dtype::F16 => DType::F16,
        Dtype::BF16 => DType::BF16,
        Dtype::I64 => DType::Other("I64"),
        Dtype::I32 => DType::Other("I32"),
        Dtype::I8 => DType::Other("I8"),
        Dtype::U8 => DType::Other("U8"),
        Dtype::BOOL => DType::Other("BOOL"),
        _ => DType::Other("a type that is not known"),
    }
}
