//! `clip_embed_trigger`: keeps an embedding in step with its image or text, in the manner of `tsvector_update_trigger`.

mod queued;
mod replicated;
mod row;

use super::arguments::{bytes_of, text_of};
use super::sql_function;
use crate::c_function;
use crate::errors::{ArgumentError, Raise, Result};
use crate::memo::Modality;
use crate::{embedding, settings, vector};
use pgrx::pg_sys::{Datum, Oid};
use row::{Row, Target, same};

pub use queued::is_this as is_enqueue_trigger;
pub use replicated::register;
use std::rc::Rc;

sql_function!(clip_embed_trigger, pg_finfo_clip_embed_trigger, |call| run(Row::before(call.0)?));

/// Whether it is this function.
pub fn is_embed_trigger(function: Oid) -> bool {
    c_function::address(function) == Some(clip_embed_trigger as *const () as usize)
}

/// What the trigger was created with: source column, embedding column, and options.
struct Options {
    source: String,
    embedding: String,
    model: String,
    /// An image that cannot be embedded gives NULL and a WARNING.
    null_on_error: bool,
}

impl Target {
    fn check_dimension(self, options: &Options, found: usize) -> Result<()> {
        let (model, column) = (options.model.clone(), options.embedding.clone());
        match self.dimension {
            Some(expected) if expected != found => {
                Err(ArgumentError::ColumnDimension { model, found, column, expected }.into())
            }
            _ => Ok(()),
        }
    }
}

impl Options {
    /// `'image', 'embedding' [, 'owner/name'] [, 'on_error=null']`
    fn parse(mut arguments: Vec<String>) -> Result<Self> {
        let is_option = |argument: &String| argument.starts_with("on_error=");
        let null_on_error = match arguments.iter().position(is_option).map(|index| arguments.remove(index)).as_deref() {
            None | Some("on_error=error") => false,
            Some("on_error=null") => true,
            Some(other) => return Err(ArgumentError::TriggerOption { option: other.to_owned() }.into()),
        };
        let mut arguments = arguments.into_iter();
        match (arguments.next(), arguments.next(), arguments.next(), arguments.next()) {
            (Some(source), Some(embedding), model, None) => {
                Ok(Self { source, embedding, model: model.unwrap_or_else(settings::model), null_on_error })
            }
            _ => Err(ArgumentError::TriggerArguments.into()),
        }
    }
}

fn run(row: Row) -> Result<Datum> {
    let options = Options::parse(row.arguments())?;
    let (source, modality) = row.source(&options.source, false)?;
    let target = row.target(&options.embedding, false)?;
    let Some(now) = row.new_value(source) else {
        return Ok(row.with(target, None));
    };
    // Where there is no embedding, `UPDATE … SET image = image` asks for one.
    let is_asked_for = row.new_value(target.number).is_none() && row.is_assigned(source);
    if !is_asked_for && row.old_value(source).is_some_and(|before| same(before, now)) {
        return Ok(row.unchanged());
    }
    match embed(&options, modality, now) {
        Ok(vector) => {
            target.check_dimension(&options, vector.len())?;
            Ok(row.with(target, Some(vector::to_datum(&vector)?)))
        }
        Err(error) if options.null_on_error && error.is_the_images_fault() => {
            error.warn();
            Ok(row.with(target, None))
        }
        Err(error) => Err(error),
    }
}

fn embed(options: &Options, modality: Modality, value: Datum) -> Result<Rc<[f32]>> {
    // SAFETY: `Row::source` found the column to be of the type that is read.
    let input = unsafe {
        match modality {
            Modality::Image => bytes_of(value),
            Modality::Text => text_of(value).into_bytes(),
        }
    };
    embedding::of_one(&options.model, modality, input)
}
