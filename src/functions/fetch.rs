//! `clip_fetch_image`, `clip_fetch_images`: images by URL. The server fetches; this process touches no network.

use super::arguments::{Arguments, required, text_of};
use super::sql_function;
use crate::errors::{ArgumentError, Error, Result};
use crate::result_rows::Rows;
use crate::{client, encoding, settings, text};
use pgrx::pg_sys::Datum;
use protocol::{Failure, FetchedImage};

sql_function!(clip_fetch_image, pg_finfo_clip_fetch_image, fetch_one);
sql_function!(clip_fetch_images, pg_finfo_clip_fetch_images, fetch_many);

fn check_allowed() -> Result<()> {
    if settings::url_fetch() { Ok(()) } else { Err(ArgumentError::FetchOff.into()) }
}

/// STRICT. A URL without an image is an error.
fn fetch_one(call: Arguments) -> Result<Datum> {
    check_allowed()?;
    let url = call.text(0).expect("STRICT");
    let mut answer = None;
    client::fetch(&[url], true, |_, result| answer = Some(result))?;
    let image = answer.expect("one answer for one URL").map_err(Error::Server)?;
    Ok(text::bytes_to_datum(&image.bytes))
}

/// One row for each URL; a URL without an image has the reason in `error`.
fn fetch_many(call: Arguments) -> Result<Datum> {
    check_allowed()?;
    let urls = required(call.elements(0)?, "urls")?;
    let in_order = required(call.boolean(1), "in_order")?;
    // A place without a URL gets its row when all places before it have theirs.
    let (present, missing): (Vec<_>, Vec<_>) = (1..).zip(urls).partition(|(_, url)| url.is_some());
    let mut missing = missing.into_iter().map(|(ordinal, _)| ordinal).peekable();
    let ordinals: Vec<i32> = present.iter().map(|(ordinal, _)| *ordinal).collect();
    let urls: Vec<String> = present.into_iter().filter_map(|(_, url)| url).map(text_of).collect();
    let mut rows = Rows::begin(call.0);
    client::fetch(&urls, in_order, |index, result| {
        while let Some(ordinal) = missing.next_if(|missing| *missing < ordinals[index]) {
            push_missing(&mut rows, ordinal);
        }
        push(&mut rows, ordinals[index], &urls[index], &result);
    })?;
    missing.for_each(|ordinal| push_missing(&mut rows, ordinal));
    Ok(Datum::null())
}

fn push(rows: &mut Rows, ordinal: i32, url: &str, result: &Result<FetchedImage, Failure>) {
    rows.push(|| {
        let (ordinal, url) = (Some(Datum::from(ordinal)), Some(text::to_datum(url)));
        match result {
            Ok(image) => {
                let content_type = image.content_type.clone().map(|kind| text::to_datum(&encoding::for_message(kind)));
                [ordinal, url, Some(text::bytes_to_datum(&image.bytes)), content_type, None]
            }
            Err(failure) => [ordinal, url, None, None, Some(text::to_datum(&encoding::for_message(describe(failure))))],
        }
    });
}

fn push_missing(rows: &mut Rows, ordinal: i32) {
    rows.push(|| [Some(Datum::from(ordinal)), None, None, None, Some(text::to_datum("there is no URL"))]);
}

fn describe(failure: &Failure) -> String {
    match &failure.detail {
        Some(detail) => format!("{}: {detail}", failure.message),
        None => failure.message.clone(),
    }
}
