//! `clip_embed_text`, `clip_embed_image`, `clip_embed_texts`, `clip_embed_images`.
//!
//! All are STRICT, so no argument is NULL. The second argument, where there is one, is the model's name.

use super::sql_function;
use crate::errors::{Error, Result};
use crate::memo::{self, Key, Modality};
use crate::{client, settings, vector};
use pgrx::pg_sys::{self, Datum, FunctionCallInfo};
use pgrx::{FromDatum, datum::Array};
use protocol::Items;
use std::ffi::{CStr, CString};
use std::rc::Rc;

sql_function!(clip_embed_text, pg_finfo_clip_embed_text, |call| embed_one(call, Modality::Text));
sql_function!(clip_embed_image, pg_finfo_clip_embed_image, |call| embed_one(call, Modality::Image));
sql_function!(clip_embed_texts, pg_finfo_clip_embed_texts, |call| embed_array(call, Modality::Text));
sql_function!(clip_embed_images, pg_finfo_clip_embed_images, |call| embed_array(call, Modality::Image));

/// Bytes of items after which an array is sent in a further request.
const REQUEST_BYTES: usize = 64 << 20;
/// Items after which an array is sent in a further request: each has the whole of `clip_search.request_timeout`.
const REQUEST_ITEMS: usize = 256;
/// Longest text in bytes. A model reads 77 tokens of it; the tokenizer has to look at all of it.
const TEXT_BYTES: usize = 1 << 20;

/// One item's bytes, copied out of Postgres's memory: a wait may end by longjmp, and the datum may be toasted.
type Input = Vec<u8>;

fn embed_one(call: FunctionCallInfo, modality: Modality) -> Result<Datum> {
    let model = model(call);
    // SAFETY: the SQL declaration makes argument 0 a text or bytea, and STRICT keeps NULL away.
    let input = unsafe { input(pgrx::pg_getarg_datum_raw(call, 0), modality) };
    check_size(&input, modality)?;
    let key = Key::new(&model, modality, &input);
    client::forget_if_lost();
    if let Some(known) = memo::get(&key) {
        return vector::to_datum(&known);
    }
    let mut answers = client::embed(model, items(vec![input], modality))?;
    let embedding: Rc<[f32]> = answers.pop().expect("one answer for one item").map_err(Error::Server)?.into();
    if !settings::may_be_on_its_way() {
        memo::put(key, Rc::clone(&embedding));
    }
    vector::to_datum(&embedding)
}

fn embed_array(call: FunctionCallInfo, modality: Modality) -> Result<Datum> {
    let model = model(call);
    // SAFETY: the SQL declaration makes argument 0 a text[] or bytea[], and STRICT keeps NULL away. The function's
    // result type is vector[], whose element type exists.
    let (array, element) = unsafe {
        let datum = pg_sys::pg_detoast_datum(pgrx::pg_getarg_datum_raw(call, 0).cast_mut_ptr());
        let dimensions = (*datum.cast::<pg_sys::ArrayType>()).ndim;
        if dimensions > 1 {
            return Err(Error::ArrayDimensions(dimensions));
        }
        let array = Array::<Datum>::from_datum(datum.into(), false).expect("not NULL");
        let result = pg_sys::get_func_rettype((*(*call).flinfo).fn_oid);
        (array, pg_sys::get_element_type(result))
    };
    let mut results: Vec<Option<Rc<[f32]>>> = vec![None; array.len()];
    let mut pending = Pending::new(&model, modality);
    for (index, datum) in array.iter().enumerate() {
        let Some(datum) = datum else { continue };
        // SAFETY: an element of the array above.
        let input = unsafe { input(datum, modality) };
        check_size(&input, modality)?;
        pending.push(index, input, &mut results)?;
    }
    pending.flush(&mut results)?;
    let values: Vec<Option<&[f32]>> = results.iter().map(Option::as_deref).collect();
    vector::to_array_datum(&values, element)
}

/// The items of an array that wait to be sent.
struct Pending<'a> {
    model: &'a str,
    modality: Modality,
    indexes: Vec<usize>,
    inputs: Vec<Input>,
    bytes: usize,
}

impl<'a> Pending<'a> {
    fn new(model: &'a str, modality: Modality) -> Self {
        Self { model, modality, indexes: Vec::new(), inputs: Vec::new(), bytes: 0 }
    }

    fn push(&mut self, index: usize, input: Input, results: &mut [Option<Rc<[f32]>>]) -> Result<()> {
        if self.bytes + input.len() > REQUEST_BYTES || self.inputs.len() == REQUEST_ITEMS {
            self.flush(results)?;
        }
        self.bytes += input.len();
        self.indexes.push(index);
        self.inputs.push(input);
        Ok(())
    }

    fn flush(&mut self, results: &mut [Option<Rc<[f32]>>]) -> Result<()> {
        if self.inputs.is_empty() {
            return Ok(());
        }
        self.bytes = 0;
        let inputs = std::mem::take(&mut self.inputs);
        let answers = client::embed(self.model.to_owned(), items(inputs, self.modality))?;
        for (index, answer) in std::mem::take(&mut self.indexes).into_iter().zip(answers) {
            let embedding = answer.map_err(|failure| Error::Element { index: index + 1, failure })?;
            results[index] = Some(embedding.into());
        }
        Ok(())
    }
}

fn items(inputs: Vec<Input>, modality: Modality) -> Items {
    match modality {
        Modality::Image => Items::Images(inputs.into_iter().map(Into::into).collect()),
        Modality::Text => Items::Texts(
            inputs.into_iter().map(|text| String::from_utf8(text).expect("converted to UTF-8 by Postgres")).collect(),
        ),
    }
}

fn check_size(input: &Input, modality: Modality) -> Result<()> {
    let bytes = input.len();
    match modality {
        Modality::Image if bytes > settings::max_image_bytes() => {
            Err(Error::ImageTooLarge { bytes, max: settings::max_image_bytes() })
        }
        Modality::Text if bytes > TEXT_BYTES => Err(Error::TextTooLarge { bytes, max: TEXT_BYTES }),
        _ => Ok(()),
    }
}

/// The model's name: the second argument, or the session's setting.
fn model(call: FunctionCallInfo) -> String {
    // SAFETY: `call` is the call at hand; where it has two arguments, the second is a text that is not NULL.
    unsafe {
        if (*call).nargs < 2 {
            return settings::model();
        }
        let name = pgrx::pg_getarg_datum_raw(call, 1);
        String::from_utf8(input(name, Modality::Text)).expect("converted to UTF-8 by Postgres")
    }
}

/// Copies an item out of its datum; texts are converted to UTF-8, which raises where the database's encoding has bytes
/// that no character stands for.
///
/// # Safety
/// `datum` must be a text or bytea, as `modality` says.
unsafe fn input(datum: Datum, modality: Modality) -> Input {
    // SAFETY: a varlena by the caller's promise; the detoasted copy lives until the end of this function, and
    // pg_server_to_any returns either its argument or a new NUL-terminated string in the current memory context.
    unsafe {
        let original = datum.cast_mut_ptr::<pg_sys::varlena>();
        let plain = pg_sys::pg_detoast_datum_packed(original);
        let bytes = pgrx::varlena_to_byte_slice(plain);
        let copy = match modality {
            Modality::Image => bytes.to_vec(),
            Modality::Text => to_utf8(bytes),
        };
        if plain != original {
            pg_sys::pfree(plain.cast());
        }
        copy
    }
}

fn to_utf8(bytes: &[u8]) -> Vec<u8> {
    let text = CString::new(bytes).expect("a text has no NUL");
    // SAFETY: the string is NUL-terminated and `bytes.len()` long; what comes back is it or a palloc'd string.
    unsafe {
        let converted = pg_sys::pg_server_to_any(text.as_ptr(), bytes.len() as i32, pg_sys::pg_enc::PG_UTF8 as i32);
        if std::ptr::eq(converted, text.as_ptr()) {
            return text.into_bytes();
        }
        let copy = CStr::from_ptr(converted).to_bytes().to_vec();
        pg_sys::pfree(converted.cast());
        copy
    }
}
