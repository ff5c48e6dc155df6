//! The pages.
//!
//! ```text
//! form     the search box and all that a search may have
//! results  what was found: images, SQL, histogram
//! explore.css, explore.js
//! ```
//!
//! All work without the script, which asks for the same addresses and puts the answers in place.

mod form;
mod results;

use crate::address::Address;
use crate::catalog::{Listed, Table};
use crate::error::Failure;
use crate::histogram::Histogram;
use crate::search::Found;
use maud::{DOCTYPE, Markup, html};
use std::sync::LazyLock;

/// The style that all pages of images have, and this one's own.
pub static STYLE: LazyLock<String> = LazyLock::new(|| format!("{}{}", gallery::STYLE, include_str!("explore.css")));
/// The script.
pub const SCRIPT: &str = include_str!("explore.js");

/// What a page is about.
pub struct About<'a> {
    pub database: &'a str,
    pub address: &'a Address,
    pub table: &'a Table,
    /// Installed models of the table's dimension.
    pub models: &'a [String],
    /// The one that is searched with.
    pub model: &'a str,
}

/// The page of a search.
pub fn search(about: &About, found: Result<&Found, &Failure>, notices: &[String]) -> Markup {
    let title = match &about.address.q {
        Some(words) => format!("{words} · {}", about.table.name),
        None => about.table.name.clone(),
    };
    document(
        &title,
        html! {
            header class="bar" {
                a href="/" { (about.database) }
                h1 { (about.table.name) }
            }
            (form::form(about))
            main id="results" {
                @for notice in notices { p class="notice" { (notice) } }
                @match found {
                    Ok(found) => (results::results(about, found)),
                    Err(failure) => (explained(failure)),
                }
            }
        },
    )
}

/// How similar a sample of the rows is.
pub fn histogram(address: &Address, histogram: Option<&Histogram>) -> Markup {
    document(&address.table, results::histogram(address, histogram))
}

/// The tables to choose from.
pub fn tables(database: &str, listed: &[Listed]) -> Markup {
    document(
        database,
        html! {
            header class="bar" { h1 { (database) } }
            main {
                @if listed.is_empty() {
                    p { "There is no table with embeddings that you may read." }
                    p { "A column of type vector or halfvec makes one: ALTER TABLE … ADD COLUMN embedding vector(512);" }
                } @else {
                    p { "Tables with embeddings:" }
                    ul class="tables" {
                        @for Listed { table, column, rows, dimension, comment, has_index } in listed {
                            @let address = Address { table: table.clone(), column: Some(column.clone()), ..Address::default() };
                            li {
                                a href=(address.link("/search")) { (table) "." (column) }
                                span class="note" {
                                    @match rows { Some(rows) => { "about " (rows) " rows" } None => "not analyzed" }
                                    @if let Some(dimension) = dimension { ", " (dimension) " dimensions" }
                                    @if *has_index { ", indexed" }
                                }
                                @if let Some(comment) = comment { span class="note" { (comment) } }
                            }
                        }
                    }
                }
            }
        },
    )
}

/// A page that says why there is no other.
pub fn failure(failure: &Failure) -> Markup {
    document(
        "No answer",
        html! {
            header class="bar" { a href="/" { "Tables" } h1 { "No answer" } }
            main id="results" { (explained(failure)) }
        },
    )
}

fn explained(failure: &Failure) -> Markup {
    html! {
        div class="failure" role="alert" {
            p { strong { (failure.message) } }
            @for more in &failure.more { p { (more) } }
            @if let Some(code) = &failure.sqlstate { p class="note" { "SQLSTATE " (code) } }
        }
    }
}

fn document(title: &str, body: Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · clip_search" }
                // Otherwise the browser asks for /favicon.ico.
                link rel="icon" href="data:,";
                link rel="stylesheet" href="/explore.css";
                script src="/explore.js" defer {}
            }
            body { (body) }
        }
    }
}
