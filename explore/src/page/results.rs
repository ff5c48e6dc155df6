//! What was found.

use super::About;
use super::form::thumbnail;
use crate::address::Address;
use crate::histogram::Histogram;
use crate::search::{Found, Hit};
use maud::{Markup, html};
use serde_json::Value;

/// Height of the histogram, and width of one bar, in its own units.
const HEIGHT: f32 = 60.0;
const BAR: f32 = 10.0;

pub fn results(about: &About, found: &Found) -> Markup {
    let About { address, table, .. } = about;
    let caption = table.caption();
    let has_images = table.picture(address.picture.as_deref()).is_ok_and(|column| column.is_some());
    let first = address.skip + 1;
    html! {
        p class="status" role="status" {
            @match found.hits.len() {
                0 if address.skip > 0 => "No more rows",
                0 => "Nothing is similar enough",
                1 => "1 row",
                many => { (many) " rows" }
            }
            @if address.skip > 0 && !found.hits.is_empty() { " from the " (first) "th on" }
            @if !address.has_query() { ", as they come: look for words, or drop an image here" }
            span class="note" { (found.took.as_millis()) " ms" }
        }
        @if address.has_query() {
            div id="histogram" data-src=(address.link("/histogram")) {
                a href=(address.link("/histogram")) { "How similar are all rows?" }
            }
        }
        div class="images" {
            @for hit in &found.hits { (figure(address, hit, caption, has_images)) }
        }
        nav class="pages" aria-label="Pages" {
            @if address.skip > 0 {
                @let before = address.but(|other| other.skip = (address.skip - address.k).max(0));
                a rel="prev" href=(before.link("/search")) { "Back" }
            }
            @if found.hits.len() as i64 == address.k {
                @let after = address.but(|other| other.skip = address.skip + address.k);
                a rel="next" href=(after.link("/search")) { "More" }
            }
        }
        section aria-label="SQL" {
            div class="sql" {
                h2 { "SQL" }
                button id="copy" type="button" hidden { "Copy" }
            }
            pre tabindex="0" { code id="sql" { (found.sql) } }
        }
    }
}

fn figure(address: &Address, hit: &Hit, caption: Option<&str>, has_images: bool) -> Markup {
    let named = caption.and_then(|name| hit.metadata.get(name)).filter(|value| !value.is_null()).map(plain);
    let named = named.unwrap_or_else(|| format!("row {}", hit.id));
    let alike = address.but(|other| {
        other.like = vec![hit.id.clone()];
        (other.q, other.image) = (None, None);
        other.plus.clear();
        other.minus.clear();
    });
    let added = address.but(|other| other.like.push(hit.id.clone()));
    html! {
        figure data-similarity=[hit.similarity] {
            a class="alike" href=(alike.link("/search")) aria-label={ "More like " (named) } title="More like this" {
                @if has_images {
                    img src=(thumbnail(address, &hit.id, false)) alt=(named) loading="lazy" decoding="async";
                } @else {
                    span class="blank" { (named) }
                }
            }
            figcaption {
                span class="name" dir="auto" { (named) }
                span class="note" {
                    @if let Some(similarity) = hit.similarity { (format!("{similarity:.3}")) }
                    @if let Some((label, probability)) = &hit.label { " " b { (label) } (format!(" {:.0} %", probability * 100.0)) }
                }
                details {
                    summary aria-label={ "Details of " (named) } { "details" }
                    dl {
                        dt { "id" } dd { (hit.id) }
                        @for (name, value) in &hit.metadata { dt { (name) } dd dir="auto" { (plain(value)) } }
                    }
                    @if has_images { a href=(thumbnail(address, &hit.id, true)) target="_blank" { "larger" } " " }
                    @if address.has_query() { a href=(added.link("/search")) { "add to the search" } }
                }
            }
        }
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "–".to_owned(),
        other => other.to_string(),
    }
}

/// Its own page; the script takes what is in `#histogram` into the page of the search.
pub fn histogram(address: &Address, histogram: Option<&Histogram>) -> Markup {
    html! {
        header class="bar" { a href=(address.link("/search")) { (address.table) } h1 { "How similar are all rows?" } }
        main id="histogram" { (bars(address, histogram)) }
    }
}

fn bars(address: &Address, histogram: Option<&Histogram>) -> Markup {
    let Some(Histogram { sampled, range: (least, most), bars, threshold }) = histogram else {
        return html! { p class="note" { "No row has an embedding to compare with." } };
    };
    let width = BAR * bars.len() as f32;
    let tallest = bars.iter().copied().max().unwrap_or(1).max(1) as f32;
    let at = |similarity: f32| (similarity - least) / (most - least) * width;
    let chosen = address.min.map(|least| least as f32);
    let about = format!("Similarities of {sampled} rows to this search, from {least:.2} to {most:.2}");
    let suggested = threshold.map(|least| {
        let rounded = format!("{least:.3}");
        let link = address.but(|other| other.min = rounded.parse().ok()).link("/search");
        (rounded, link)
    });
    html! {
        svg viewBox={ "0 0 " (width) " " (HEIGHT) } preserveAspectRatio="none" role="img" aria-label=(about) {
            @for (place, number) in bars.iter().enumerate() {
                // Few are still to be seen.
                @let height = if *number == 0 { 0.0 } else { (*number as f32).ln_1p() / tallest.ln_1p() * (HEIGHT - 4.0) + 4.0 };
                rect x=(place as f32 * BAR + 1.0) y=(HEIGHT - height) width=(BAR - 2.0) height=(height) {}
            }
            @if let Some(threshold) = threshold {
                line class="suggested" x1=(at(*threshold)) x2=(at(*threshold)) y1="0" y2=(HEIGHT) {}
            }
        }
        form id="threshold" action="/search" {
            @for (name, value) in address.but(|other| other.min = None).pairs() { input type="hidden" name=(name) value=(value); }
            // The output would be taken for what the label is of.
            label for="slider" {
                "least similarity "
                output id="chosen" for="slider" { @match chosen { Some(least) => (format!("{least:.3}")), None => "any" } }
                input id="slider" type="range" name="min" min=(least) max=(most) step="any" value=(chosen.unwrap_or(*least));
            }
            button type="submit" { "Apply" }
        }
        p class="note" {
            (sampled) " rows, the number of each bar on a logarithmic scale. "
            @if let Some((rounded, link)) = suggested {
                "One random row of a thousand exceeds " a href=(link) { (rounded) } "."
            }
        }
    }
}
