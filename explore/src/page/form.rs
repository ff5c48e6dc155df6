//! The search box, and all that a search may have.

use super::About;
use crate::address::Address;
use maud::{Markup, html};

pub fn form(about: &About) -> Markup {
    let About { address, table, models, model, .. } = about;
    let has_more =
        !address.filters.is_empty() || address.sort.is_some() || !address.labels.is_empty() || address.min.is_some();
    html! {
        // Its own form, since an image is posted; it has to be there before its fields.
        form id="upload" method="post" action="/image" enctype="multipart/form-data" {
            input type="hidden" name="search" value=(address.link("").trim_start_matches('?'));
        }
        search {
            form id="search" action="/search" {
                input type="hidden" name="table" value=(table.name);
                input type="hidden" name="column" value=(table.embedding);
                div class="words" {
                    input id="q" type="search" name="q" value=[&address.q] placeholder="a dog on a beach" autocomplete="off"
                        aria-label="What to look for" enterkeyhint="search" maxlength="10000" dir="auto";
                    button type="submit" { "Search" }
                }
                (terms(address))
                div class="more" {
                    label { "more like" input name="plus" placeholder="at night" autocomplete="off" maxlength="10000"; }
                    label { "less like" input name="minus" placeholder="people" autocomplete="off" maxlength="10000"; }
                    span class="file" {
                        label for="file" { "an image" }
                        input id="file" form="upload" type="file" name="image" accept="image/*";
                        button form="upload" type="submit" { "Search by image" }
                    }
                }
                details open[has_more] {
                    summary { "Filter, sort, label" }
                    div class="fields" {
                        label { "least similarity"
                            input id="min" type="number" name="min" min="-1" max="1" step="any" value=[address.min]; }
                        label { "sorted by"
                            select name="sort" {
                                option value="" { "similarity" }
                                @for column in table.plain() {
                                    option value=(column.name) selected[address.sort.as_deref() == Some(&column.name)] { (column.name) }
                                }
                            }
                        }
                        label class="check" {
                            input type="checkbox" name="descending" value="1" checked[address.descending]; "from the greatest"
                        }
                        label class="wide" { "labels, separated by commas"
                            input name="labels" value=(address.labels.join(", ")) placeholder="a cat, a dog" autocomplete="off"; }
                        @for (column, value) in address.filters.iter().map(|(column, value)| (column.as_str(), value.as_str())).chain([("", "")]) {
                            div class="filter" {
                                label { "where"
                                    select name="filter" {
                                        option value="" { "–" }
                                        @for known in table.plain() {
                                            option value=(known.name) selected[known.name == column] { (known.name) }
                                        }
                                    }
                                }
                                label { "is" input name="is" value=(value) autocomplete="off" maxlength="10000"; }
                            }
                        }
                    }
                }
                details open[address.model.is_some() || address.id.is_some() || address.picture.is_some()] {
                    summary { "Columns and model" }
                    div class="fields" {
                        label { "model"
                            select name="model" {
                                @for known in models.iter() {
                                    option value=(known) selected[known == model] { (known) }
                                }
                                @if !models.iter().any(|known| known == model) { option value=(model) selected { (model) } }
                            }
                        }
                        label { "images"
                            select name="picture" {
                                option value="" { "–" }
                                @for column in table.pictures() {
                                    option value=(column.name) selected[address.picture.as_deref() == Some(&column.name)] { (column.name) }
                                }
                            }
                        }
                        label { "id"
                            select name="id" {
                                option value="" { "the key" }
                                @for column in table.plain() {
                                    option value=(column.name) selected[address.id.as_deref() == Some(&column.name)] { (column.name) }
                                }
                            }
                        }
                        label { "on a page"
                            select name="k" {
                                @for k in [12, 24, 48, 96, 200] { option value=(k) selected[k == address.k] { (k) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// What the search has beside the words; each can be taken away.
fn terms(address: &Address) -> Markup {
    let without = |change: fn(&mut Address, usize), at: usize| address.but(|other| change(other, at)).link("/search");
    html! {
        @if address.image.is_some() || !address.like.is_empty() || !address.plus.is_empty() || !address.minus.is_empty() {
            ul class="terms" aria-label="Parts of this search" {
                @if let Some(image) = &address.image {
                    li {
                        input type="hidden" name="image" value=(image);
                        img src=(address.link("/uploaded")) alt="the image";
                        (remove("the image", &without(|other, _| other.image = None, 0)))
                    }
                }
                @for (at, id) in address.like.iter().enumerate() {
                    li {
                        input type="hidden" name="like" value=(id);
                        img src=(thumbnail(address, id, false)) alt={ "row " (id) };
                        (remove(&format!("row {id}"), &without(|other, at| drop(other.like.remove(at)), at)))
                    }
                }
                @for (at, term) in address.plus.iter().enumerate() {
                    li {
                        input type="hidden" name="plus" value=(term);
                        "+ " (term)
                        (remove(term, &without(|other, at| drop(other.plus.remove(at)), at)))
                    }
                }
                @for (at, term) in address.minus.iter().enumerate() {
                    li {
                        input type="hidden" name="minus" value=(term);
                        "− " (term)
                        (remove(term, &without(|other, at| drop(other.minus.remove(at)), at)))
                    }
                }
            }
        }
    }
}

fn remove(what: &str, link: &str) -> Markup {
    html! { a class="remove" href=(link) aria-label={ "Remove " (what) } { "×" } }
}

/// The address of a row's image.
pub fn thumbnail(address: &Address, id: &str, is_large: bool) -> String {
    let keys = ["table", "column", "id", "picture"];
    let pairs = address.pairs().into_iter().filter(|(name, _)| keys.contains(name));
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(pairs).append_pair("row", id);
    if is_large {
        query.append_pair("large", "1");
    }
    format!("/thumbnail?{}", query.finish())
}
