//! A search with another model than the one that a trigger or a generated column's expression fills the column with, or that
//! its provenance names: the dimensions may agree, and similarities look like similarities, but mean nothing. And with the
//! same model in another precision than its provenance names: they mean a little less.

use super::made_with::{self, MadeWith};
use super::{generated_model, sync_triggers};
use crate::errors::Result;
use crate::models::notice;
use crate::search::Table;
use crate::spi::{Argument, Connection};
use crate::{client, settings};
use pgrx::pg_sys::{self, Datum, Oid};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;

/// Most searches that are remembered; then they are looked at anew.
const REMEMBERED: usize = 1000;

/// The model that the expression of a generated column names, `$1` the table and `$2` the column's name.
const GENERATED: &str = concat!(
    "SELECT ",
    generated_model!(),
    " FROM pg_catalog.pg_attrdef AS d JOIN pg_catalog.pg_attribute AS a \
    ON a.attrelid OPERATOR(pg_catalog.=) d.adrelid AND a.attnum OPERATOR(pg_catalog.=) d.adnum \
    WHERE d.adrelid OPERATOR(pg_catalog.=) $1 AND a.attname OPERATOR(pg_catalog.=) CAST($2 AS pg_catalog.name) \
    AND a.attgenerated OPERATOR(pg_catalog.<>) ''"
);

/// Table, column, model, and the setting of the precision.
type Search = (Oid, String, String, String);

thread_local! {
    /// Searches that were looked at, and whether the client was told.
    static SEEN: RefCell<HashMap<Search, bool>> = RefCell::default();
    static IS_REGISTERED: Cell<bool> = const { Cell::new(false) };
}

/// Tells the client, once in a backend.
///
/// # Errors
/// What reading the table's provenance raises, or the server's list of models.
pub fn tell(table: &Table, column: &str, model: &str) -> Result<()> {
    let search = (table.id, column.to_owned(), model.to_owned(), settings::server_config().precision);
    if SEEN.with_borrow(|seen| seen.contains_key(&search)) {
        return Ok(());
    }
    if !IS_REGISTERED.replace(true) {
        // SAFETY: a function that stays as long as the library.
        unsafe { pg_sys::CacheRegisterRelcacheCallback(Some(on_change), Datum::from(0)) };
    }
    let connection = Connection::open();
    let triggers = sync_triggers::of(&connection, table);
    let generated = connection.execute(GENERATED, &[Argument::oid(table.id), Argument::text(column)]).1;
    let generated = generated.first().and_then(|row| row.text(1));
    drop(connection);
    let made_with = made_with::of(table, column)?;
    let of_triggers = triggers.iter().filter_map(|trigger| trigger.model_of(column));
    let of_provenance = made_with.as_ref().map(|made_with| made_with.model.as_str());
    let models: Vec<&str> = of_triggers.chain(generated.as_deref()).chain(of_provenance).collect();
    let other = models.first().filter(|_| !models.contains(&model));
    let precision = match &made_with {
        Some(made_with) if made_with.model == model => other_precision(made_with)?,
        _ => None,
    };
    SEEN.with_borrow_mut(|seen| {
        if seen.len() >= REMEMBERED {
            seen.clear();
        }
        seen.insert(search, other.is_some() || precision.is_some());
    });
    let name = &table.name;
    if let Some(other) = other {
        notice(
            &format!("column \"{column}\" of {name} has embeddings of \"{other}\", and is searched with \"{model}\""),
            Some(&format!("Pass model => '{}', or set clip_search.model.", other.replace('\'', "''"))),
        );
    }
    if let Some((then, now)) = precision {
        notice(
            &format!(
                "column \"{column}\" of {name} has embeddings in precision {then}, and \"{model}\" is now used in {now}"
            ),
            Some(
                "Set clip_search.precision to what they were made with, or embed the rows again: CALL clip_embed_table with \
                 provenance_column.",
            ),
        );
    }
    Ok(())
}

/// The precision in which images were embedded and the one in which they would be now, where that is another.
fn other_precision(made_with: &MadeWith) -> Result<Option<(String, String)>> {
    let models = client::models()?;
    let now = models.iter().find(|known| known.name == made_with.model).and_then(|known| known.precision.as_deref());
    let [then, now] = [&made_with.precision, now.unwrap_or(&made_with.precision)].map(MadeWith::of_images);
    Ok((now != then).then(|| (then.to_owned(), now.to_owned())))
}

/// A table has changed, or with no number any may have: it may have other triggers.
#[pgrx::pg_guard]
unsafe extern "C-unwind" fn on_change(_argument: Datum, table: Oid) {
    SEEN.with_borrow_mut(|seen| seen.retain(|(of, ..), told| *told || *of != table && table != Oid::INVALID));
}
