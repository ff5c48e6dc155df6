//! `clip_embed_text`, `clip_embed_image`, `clip_embed_texts`, `clip_embed_images`, and with `try` for images.
//!
//! Those with `try` give NULL and a WARNING where the image is at fault; what is not its fault is an error there too.
//! All are STRICT, so no argument is NULL. The second argument, where there is one, is the model's name.

use super::arguments::{Arguments, bytes_of, text_of};
use super::{not_words, sql_function};
use crate::errors::{Error, Raise, Result};
use crate::memo::Modality;
use crate::{embedding, vector};
use pgrx::pg_sys::{self, Datum};

sql_function!(clip_embed_text, pg_finfo_clip_embed_text, |call| embed_one(call, Modality::Text));
sql_function!(clip_embed_image, pg_finfo_clip_embed_image, |call| embed_one(call, Modality::Image));
sql_function!(clip_embed_texts, pg_finfo_clip_embed_texts, |call| embed_array(call, Modality::Text));
sql_function!(clip_embed_images, pg_finfo_clip_embed_images, |call| embed_array(call, Modality::Image));

sql_function!(clip_try_embed_image, pg_finfo_clip_try_embed_image, try_embed_one);
sql_function!(clip_try_embed_images, pg_finfo_clip_try_embed_images, try_embed_array);

// The planner asks it about a call, and finds that it has nothing to say. But for that the library is loaded, and so sees
// the execution of a session's first statement.
sql_function!(clip_embed_support, pg_finfo_clip_embed_support, |_: Arguments| Ok(Datum::null()));

/// One of the functions that give the embedding of one item.
#[derive(Clone, Copy)]
pub struct EmbedFunction {
    /// What is embedded.
    pub modality: Modality,
    /// The code.
    pub address: usize,
}

impl EmbedFunction {
    /// The function of this name here.
    pub fn named(name: &str) -> Option<Self> {
        let (modality, address) = match name {
            "clip_embed_text" => (Modality::Text, clip_embed_text as *const () as usize),
            "clip_embed_image" => (Modality::Image, clip_embed_image as *const () as usize),
            "clip_try_embed_image" => (Modality::Image, clip_try_embed_image as *const () as usize),
            _ => return None,
        };
        Some(Self { modality, address })
    }
}

fn embed_one(call: Arguments, modality: Modality) -> Result<Datum> {
    let input = input(call.datum(0).expect("STRICT"), modality);
    vector::to_datum(&embedding::of_one(&call.model(1), modality, input)?)
}

fn try_embed_one(call: Arguments) -> Result<Option<Datum>> {
    match embed_one(call, Modality::Image) {
        Ok(embedding) => Ok(Some(embedding)),
        Err(error) => warn_and_continue(error).map(|()| None),
    }
}

fn embed_array(call: Arguments, modality: Modality) -> Result<Datum> {
    array(call, modality, Err)
}

fn try_embed_array(call: Arguments) -> Result<Datum> {
    array(call, Modality::Image, warn_and_continue)
}

fn warn_and_continue(error: Error) -> Result<()> {
    if !error.is_the_images_fault() {
        return Err(error);
    }
    error.warn();
    Ok(())
}

fn array(call: Arguments, modality: Modality, failed: fn(Error) -> Result<()>) -> Result<Datum> {
    let elements = call.elements(0)?.expect("STRICT");
    let inputs = elements.into_iter().map(|element| element.map(|datum| input(datum, modality)));
    let embeddings = embedding::of_many(&call.model(1), modality, inputs, failed)?;
    let values: Vec<Option<&[f32]>> = embeddings.iter().map(Option::as_deref).collect();
    vector::to_array_datum(&values, element_type(call))
}

/// The element type of the function's result, which is `vector[]`: its OID differs between databases.
fn element_type(call: Arguments) -> pg_sys::Oid {
    // SAFETY: the executor passes what it knows of the function; its result type is an array type.
    unsafe { pg_sys::get_element_type(pg_sys::get_func_rettype((*(*call.0).flinfo).fn_oid)) }
}

fn input(datum: Datum, modality: Modality) -> embedding::Input {
    match modality {
        Modality::Text => {
            let text = text_of(datum);
            not_words::warn(&text);
            text.into_bytes()
        }
        // SAFETY: the SQL declaration makes it a bytea.
        Modality::Image => unsafe { bytes_of(datum) },
    }
}
