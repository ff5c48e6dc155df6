//! `clip_duplicates`, `clip_groups`: rows that are nearly equal.
//!
//! ```text
//! argument  0    1          2        3          4       5                 6
//!           tbl  threshold  per_row  key_range  filter  embedding_column  id_column
//!           ids  other_ids
//! ```

use super::arguments::{Arguments, required, within};
use super::sql_function;
use crate::errors::{ArgumentError, Result};
use crate::result_rows::{Rows, real};
use crate::search::{self, Pair, Pairs, Table};
use crate::text;
use pgrx::pg_sys::{self, Datum};
use std::collections::{BTreeMap, HashMap};

sql_function!(clip_duplicates, pg_finfo_clip_duplicates, duplicates);
sql_function!(clip_groups, pg_finfo_clip_groups, groups);

fn duplicates(call: Arguments) -> Result<Datum> {
    let threshold = required(call.double(1), "threshold")?;
    search::check_similarity("threshold", threshold)?;
    let wanted = Pairs {
        threshold,
        per_row: within(call.bigint(2), "per_row", 1, Pairs::MAX_PER_ROW)?,
        key_range: key_range(call, 3)?,
        filter: call.datum(4),
        embedding_column: call.name(5),
        id_column: call.name(6),
    };
    let table = Table::known(required(call.oid(0), "tbl")?)?;
    let mut pairs: BTreeMap<(String, String), f32> = BTreeMap::new();
    for Pair { id, other, similarity } in search::pairs(&table, &wanted)? {
        // Found from both sides, perhaps.
        let (first, second) = if comes_before(&id, &other) { (id, other) } else { (other, id) };
        pairs.entry((first, second)).or_insert(similarity);
    }
    if pairs.len() > Pairs::MAX {
        return Err(ArgumentError::TooManyPairs { max: Pairs::MAX }.into());
    }
    let mut found: Vec<_> = pairs.into_iter().map(|((id, other), similarity)| (0, id, other, similarity)).collect();
    let numbers = numbers(found.iter().map(|(_, id, other, _)| (id.as_str(), other.as_str()))).1;
    found.iter_mut().zip(numbers).for_each(|(pair, number)| pair.0 = number);
    found.sort_by(|a, b| a.0.cmp(&b.0).then(b.3.total_cmp(&a.3)));
    let mut rows = Rows::begin(call.0);
    for (number, id, other, similarity) in found {
        rows.push(|| {
            [
                Some(Datum::from(number)),
                Some(text::to_value(pg_sys::JSONBOID, &id)),
                Some(text::to_value(pg_sys::JSONBOID, &other)),
                Some(real(similarity)),
            ]
        });
    }
    Ok(Datum::null())
}

/// Numbers in their order, everything else by its text.
fn comes_before(a: &str, b: &str) -> bool {
    match (a.parse::<i64>(), b.parse::<i64>()) {
        (Ok(a), Ok(b)) => a < b,
        _ => a < b,
    }
}

/// The ids in the order in which they come, each with its group's number from 1; and the number of each pair.
fn numbers<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> (Vec<(&'a str, i64)>, Vec<i64>) {
    let mut places: HashMap<&str, usize> = HashMap::new();
    let mut ids = Vec::new();
    let mut place = |id: &'a str| {
        *places.entry(id).or_insert_with(|| {
            ids.push(id);
            ids.len() - 1
        })
    };
    let pairs: Vec<(usize, usize)> = pairs.map(|(id, other)| (place(id), place(other))).collect();
    let groups = similarity::groups(ids.len(), pairs.iter().copied());
    let number = |item: usize| groups[item] as i64 + 1;
    let of_pairs = pairs.iter().map(|(item, _)| number(*item)).collect();
    (ids.into_iter().enumerate().map(|(item, id)| (id, number(item))).collect(), of_pairs)
}

/// An array of two keys, of any type, each of which may be NULL.
fn key_range(call: Arguments, index: usize) -> Result<Option<[Option<String>; 2]>> {
    let Some(texts) = call.element_texts(index)? else { return Ok(None) };
    let found = texts.len();
    texts.try_into().map(Some).map_err(|_| ArgumentError::KeyRangeLength { found }.into())
}

fn groups(call: Arguments) -> Result<Datum> {
    let of = |index, name| {
        let ids = call.list(index, name, |datum| text::of_value(pg_sys::JSONBOID, datum))?;
        required(ids, name)
    };
    let (ids, others) = (of(0, "ids")?, of(1, "other_ids")?);
    if ids.len() != others.len() {
        return Err(ArgumentError::PairLengths { ids: ids.len(), others: others.len() }.into());
    }
    let mut rows = Rows::begin(call.0);
    for (id, number) in numbers(ids.iter().map(String::as_str).zip(others.iter().map(String::as_str))).0 {
        rows.push(|| [Some(text::to_value(pg_sys::JSONBOID, id)), Some(Datum::from(number))]);
    }
    Ok(Datum::null())
}
