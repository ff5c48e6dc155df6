//! `clip_classify`, `clip_best_label`: zero-shot classification of an image or of an embedding.
//!
//! ```text
//! argument  0         1       2         3      4
//!           subject   labels  template  model  templates
//! ```

use super::arguments::{Arguments, bytes_of, required};
use super::sql_function;
use crate::errors::{ArgumentError, Result};
use crate::labels::{self, LabelSet, Question, RawArguments};
use crate::memo::Modality;
use crate::result_rows::{Rows, real};
use crate::{embedding, text};
use pgrx::pg_sys::Datum;
use std::rc::Rc;

sql_function!(clip_classify_image, pg_finfo_clip_classify_image, |call| classify(call, image));
sql_function!(clip_classify_vector, pg_finfo_clip_classify_vector, |call| classify(call, vector));
sql_function!(clip_best_label_image, pg_finfo_clip_best_label_image, |call| best_label(call, image));
sql_function!(clip_best_label_vector, pg_finfo_clip_best_label_vector, |call| best_label(call, vector));

/// What is classified: `None` where it is NULL. The second value is the model that the labels are embedded with.
type Subject = fn(Arguments, &str) -> Result<Option<Vec<f32>>>;

fn image(call: Arguments, model: &str) -> Result<Option<Vec<f32>>> {
    let Some(image) = call.bytes(0) else { return Ok(None) };
    Ok(Some(embedding::of_one(model, Modality::Image, image)?.to_vec()))
}

fn vector(call: Arguments, _: &str) -> Result<Option<Vec<f32>>> {
    Ok(call.vector(0))
}

/// No rows where there is no subject: a table may have rows without an image.
fn classify(call: Arguments, subject: Subject) -> Result<Datum> {
    let set = label_set(call)?;
    let mut rows = Rows::begin(call.0);
    let Some(embedding) = embedding_of(call, subject, &set)? else { return Ok(Datum::null()) };
    for score in set.labels.classify(&embedding).unwrap_or_default() {
        rows.push(|| {
            let name = text::bytes_to_datum(&set.names[score.label]);
            [Some(name), Some(real(score.probability)), Some(real(score.similarity))]
        });
    }
    Ok(Datum::null())
}

fn best_label(call: Arguments, subject: Subject) -> Result<Option<Datum>> {
    let set = label_set(call)?;
    let Some(embedding) = embedding_of(call, subject, &set)? else { return Ok(None) };
    Ok(set.labels.best(&embedding).map(|label| text::bytes_to_datum(&set.names[label])))
}

fn embedding_of(call: Arguments, subject: Subject, set: &LabelSet) -> Result<Option<Vec<f32>>> {
    let Some(embedding) = subject(call, &set.model)? else { return Ok(None) };
    let (found, expected) = (embedding.len(), set.labels.dimension());
    if found != expected {
        return Err(ArgumentError::ModelDimension { embedding: found, model: set.model.clone(), expected }.into());
    }
    Ok(Some(embedding))
}

fn label_set(call: Arguments) -> Result<Rc<LabelSet>> {
    if let Some(known) = labels::known(|arguments| is_same(call, arguments)) {
        return Ok(known);
    }
    labels::embed(question(call)?, raw(call))
}

fn question(call: Arguments) -> Result<Question> {
    let names = required(call.texts(1, "labels")?, "labels")?;
    if names.is_empty() {
        return Err(ArgumentError::NoLabels.into());
    }
    let templates = match call.texts(4, "templates")? {
        Some(templates) if templates.is_empty() => {
            return Err(ArgumentError::NoTemplates.into());
        }
        Some(templates) => templates,
        None => vec![required(call.text(2), "template")?],
    };
    templates.iter().try_for_each(|template| labels::check_template(template))?;
    Ok(Question { model: call.model(3), labels: names, templates })
}

/// labels, template, templates, model
const ORDER: [usize; 4] = [1, 2, 4, 3];

fn raw(call: Arguments) -> RawArguments {
    ORDER.map(|index| call.bytes(index))
}

fn is_same(call: Arguments, known: &RawArguments) -> bool {
    ORDER.iter().zip(known).all(|(index, known)| match (call.datum(*index), known) {
        (None, None) => true,
        // SAFETY: text or text[], of which this reads the bytes behind the header.
        (Some(datum), Some(known)) => unsafe { has_bytes(datum, known) },
        _ => false,
    })
}

/// # Safety
/// `datum` must be a varlena.
unsafe fn has_bytes(datum: Datum, known: &[u8]) -> bool {
    // SAFETY: by the caller's promise. Not toasted where it is a constant, and then nothing is copied.
    unsafe {
        if pgrx::varatt_is_1b_e(datum.cast_mut_ptr()) || pgrx::varatt_is_4b_c(datum.cast_mut_ptr()) {
            return bytes_of(datum) == known;
        }
        pgrx::varlena_to_byte_slice(datum.cast_mut_ptr()) == known
    }
}
