//! `clip_embed_text`, `clip_embed_image`, `clip_embed_texts`, `clip_embed_images`.
//!
//! All are STRICT, so no argument is NULL. The second argument, where there is one, is the model's name.

use super::arguments::{Arguments, bytes_of, text_of};
use super::sql_function;
use crate::errors::Result;
use crate::memo::Modality;
use crate::{embedding, settings, vector};
use pgrx::pg_sys::{self, Datum};

sql_function!(clip_embed_text, pg_finfo_clip_embed_text, |call| embed_one(call, Modality::Text));
sql_function!(clip_embed_image, pg_finfo_clip_embed_image, |call| embed_one(call, Modality::Image));
sql_function!(clip_embed_texts, pg_finfo_clip_embed_texts, |call| embed_array(call, Modality::Text));
sql_function!(clip_embed_images, pg_finfo_clip_embed_images, |call| embed_array(call, Modality::Image));

fn embed_one(call: Arguments, modality: Modality) -> Result<Datum> {
    let input = input(call.datum(0).expect("STRICT"), modality);
    vector::to_datum(&embedding::of_one(&model(call), modality, input)?)
}

fn embed_array(call: Arguments, modality: Modality) -> Result<Datum> {
    let elements = call.elements(0)?.expect("STRICT");
    let inputs = elements.into_iter().map(|element| element.map(|datum| input(datum, modality)));
    let embeddings = embedding::of_many(&model(call), modality, inputs)?;
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
        Modality::Text => text_of(datum).into_bytes(),
        // SAFETY: the SQL declaration makes it a bytea.
        Modality::Image => unsafe { bytes_of(datum) },
    }
}

/// The second argument, or the session's setting.
fn model(call: Arguments) -> String {
    call.text(1).unwrap_or_else(settings::model)
}
