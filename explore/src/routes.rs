//! What is answered where.

use crate::access;
use crate::address::Address;
use crate::catalog::{self, Extension, Table};
use crate::database::{Database, Notice, Value};
use crate::error::Failure;
use crate::histogram;
use crate::options::Options;
use crate::page::{self, About};
use crate::search::Search;
use crate::sql::Sql;
use crate::uploads::{MAX_BYTES, Uploads};
use anyhow::Result;
use axum::extract::multipart::MultipartError;
use axum::extract::{DefaultBodyLimit, Multipart, RawQuery, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderName, StatusCode};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Router, serve as serve_http};
use form_urlencoded::parse;
use maud::Markup;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpListener;

/// Longest side of a thumbnail, in pixels, and that of an image that was opened.
const SIDES: [u32; 2] = [320, 1600];
/// Most searches whose notices are remembered: the extension raises each once in a session.
const MAX_NOTICES: usize = 1000;

/// What all requests share.
pub struct App {
    pub token: Option<String>,
    database: Database,
    uploads: Uploads,
    /// Table, column and model → what the extension said of them.
    notices: Mutex<HashMap<[String; 3], Vec<String>>>,
}

type Shared = State<Arc<App>>;

/// Answers until it is told to end.
///
/// # Errors
/// The listener fails.
pub async fn serve(
    listener: TcpListener,
    options: Options,
    until: impl Future<Output = ()> + Send + 'static,
) -> Result<()> {
    let database = Database::of(&options);
    let app = App { token: options.token, database, uploads: Uploads::default(), notices: Mutex::default() };
    let app = Arc::new(app);
    let router = Router::new()
        .route("/", get(tables))
        .route("/search", get(search))
        .route("/histogram", get(similarities))
        .route("/thumbnail", get(thumbnail))
        .route("/uploaded", get(uploaded))
        .route("/image", post(image))
        .route("/explore.css", get(async || asset("text/css; charset=utf-8", page::STYLE.as_str())))
        .route("/explore.js", get(async || asset("text/javascript; charset=utf-8", page::SCRIPT)))
        .fallback(async || Failure::missing("there is no such page"))
        .layer(DefaultBodyLimit::max(MAX_BYTES + (64 << 10)))
        .layer(from_fn_with_state(app.clone(), access::guard))
        .with_state(app);
    Ok(serve_http(listener, router).with_graceful_shutdown(until).await?)
}

fn asset(kind: &'static str, content: &'static str) -> impl IntoResponse {
    ([(CONTENT_TYPE, kind), (CACHE_CONTROL, "no-cache")], content)
}

/// The tables; where there is one, its page.
async fn tables(State(app): Shared) -> Result<Response, Failure> {
    catalog::extension(&app.database).await?;
    let listed = catalog::listed(&app.database).await?;
    if let [only] = &listed[..] {
        let address = Address { table: only.table.clone(), column: Some(only.column.clone()), ..Address::default() };
        return Ok(Redirect::to(&address.link("/search")).into_response());
    }
    Ok(page::tables(app.database.name(), &listed).into_response())
}

/// What a search is made of, besides its address.
struct Prepared {
    address: Address,
    extension: Extension,
    table: Table,
    models: Vec<String>,
    model: String,
    image: Option<Arc<Vec<u8>>>,
}

impl Prepared {
    async fn of(app: &App, query: Option<String>) -> Result<Self, Failure> {
        let address = Address::read(&query.unwrap_or_default())?;
        if address.table.is_empty() {
            return Err(Failure::missing("there is no table in the address"));
        }
        let extension = catalog::extension(&app.database).await?;
        let table = Table::find(&app.database, &address.table, address.column.as_deref()).await?;
        let models = catalog::models(&app.database, &extension, table.dimension).await?;
        let known = address.model.as_ref().or(table.generated_by.as_ref()).or(models.first());
        let model = known.cloned().ok_or_else(|| {
            let dimension = table.dimension.unwrap_or_default();
            Failure::missing(format!(
                "no installed model gives embeddings of {dimension} dimensions, as {} has",
                table.name
            ))
            .with("SELECT * FROM clip_models(); lists the installed models.")
        })?;
        let image = address.image.as_ref().and_then(|name| app.uploads.find(name));
        Ok(Self { address, extension, table, models, model, image })
    }

    fn search(&self) -> Search<'_> {
        let Self { address, table, extension, model, image, .. } = self;
        Search { address, table, extension, model, image: image.clone() }
    }
}

async fn search(State(app): Shared, RawQuery(query): RawQuery) -> Result<Markup, Failure> {
    let prepared = Prepared::of(&app, query).await?;
    let about = About {
        database: app.database.name(),
        address: &prepared.address,
        table: &prepared.table,
        models: &prepared.models,
        model: &prepared.model,
    };
    // What is wrong with the search is said on its page, so that it can be changed.
    Ok(match prepared.search().run(&app.database).await {
        Ok(mut found) => {
            let key = [prepared.table.name.clone(), prepared.table.embedding.clone(), prepared.model.clone()];
            let notices = app.remember(key, std::mem::take(&mut found.notices));
            page::search(&about, Ok(&found), &notices)
        }
        Err(failure) => page::search(&about, Err(&failure), &[]),
    })
}

async fn similarities(State(app): Shared, RawQuery(query): RawQuery) -> Result<Markup, Failure> {
    let prepared = Prepared::of(&app, query).await?;
    if !prepared.address.has_query() {
        return Err(Failure::of_request("there is nothing to compare the rows with"));
    }
    let histogram = histogram::of(&app.database, &prepared.search()).await?;
    Ok(page::histogram(&prepared.address, histogram.as_ref()))
}

/// `row` is the JSON of the id.
async fn thumbnail(State(app): Shared, RawQuery(query): RawQuery) -> Result<Response, Failure> {
    let query = query.unwrap_or_default();
    let parameter =
        |wanted: &str| parse(query.as_bytes()).find(|(name, _)| name == wanted).map(|(_, value)| value.into_owned());
    let row = parameter("row").ok_or_else(|| Failure::of_request("row is missing"))?;
    let side = if parameter("large").is_some() { SIDES[1] } else { SIDES[0] };
    let address = Address::read(&query)?;
    let extension = catalog::extension(&app.database).await?;
    let table = Table::find(&app.database, &address.table, address.column.as_deref()).await?;
    let picture =
        table.picture(address.picture.as_deref())?.ok_or_else(|| Failure::missing("there is no column of images"))?;
    let mut sql = Sql::default();
    sql.push(&format!(
        "SELECT {}clip_thumbnail(t.{}, {side}) FROM {} AS t WHERE ",
        extension.prefix, picture.quoted, table.name
    ));
    Search { address: &address, table: &table, extension: &extension, model: "", image: None }
        .is_row(&mut sql, &row)?;
    let rows = app.database.run(&sql.run, &sql.values).await?.rows;
    small(rows.first().and_then(|row| row.get(0)))
}

async fn uploaded(State(app): Shared, RawQuery(query): RawQuery) -> Result<Response, Failure> {
    let address = Address::read(&query.unwrap_or_default())?;
    let image = address.image.as_ref().and_then(|name| app.uploads.find(name));
    let image = image.ok_or_else(|| Failure::missing("the image is no longer there"))?;
    let extension = catalog::extension(&app.database).await?;
    let statement = format!("SELECT {}clip_thumbnail($1, {})", extension.prefix, SIDES[0]);
    let rows = app.database.run(&statement, &[Value::Bytes(image)]).await?.rows;
    small(rows.first().and_then(|row| row.get(0)))
}

/// What clip_thumbnail made: JPEG, or PNG where parts are transparent.
fn small(image: Option<Vec<u8>>) -> Result<Response, Failure> {
    let image = image.ok_or_else(|| Failure::missing("there is no image"))?;
    let kind = if image.starts_with(b"\x89PNG") { "image/png" } else { "image/jpeg" };
    let headers: [(HeaderName, &str); 2] = [(CONTENT_TYPE, kind), (CACHE_CONTROL, "private, max-age=300")];
    Ok((headers, image).into_response())
}

/// Keeps an image, and goes to the search for it: of the form's `search`, a query string.
async fn image(State(app): Shared, mut form: Multipart) -> Result<Redirect, Failure> {
    let (mut address, mut image) = (Address::default(), None);
    while let Some(field) = form.next_field().await.map_err(of_form)? {
        match field.name() {
            Some("search") => address = Address::read(&field.text().await.map_err(of_form)?)?,
            Some("image") => image = Some(field.bytes().await.map_err(of_form)?),
            _ => {}
        }
    }
    let image = image.filter(|image| !image.is_empty()).ok_or_else(|| Failure::of_request("choose an image first"))?;
    let name = app.uploads.keep(image.into());
    let address = address.but(|address| {
        address.image = Some(name);
        address.q = None;
        address.like.clear();
    });
    Ok(Redirect::to(&address.link("/search")))
}

fn of_form(error: MultipartError) -> Failure {
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        let message = format!("the image is larger than {} MiB", MAX_BYTES >> 20);
        return Failure { status: error.status(), ..Failure::of_request(message) };
    }
    Failure { status: error.status(), ..Failure::of_request(error.body_text()) }
}

impl App {
    /// What was said of a search now, and the notices of the same search before, in whatever session.
    fn remember(&self, key: [String; 3], said: Vec<Notice>) -> Vec<String> {
        let mut remembered = self.notices.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.len() >= MAX_NOTICES {
            remembered.clear();
        }
        let (warnings, notices): (Vec<_>, Vec<_>) = said.into_iter().partition(|said| said.is_warning);
        let all = remembered.entry(key).or_default();
        for Notice { text, .. } in notices {
            if !all.contains(&text) && all.len() < 10 {
                all.push(text);
            }
        }
        warnings.into_iter().map(|warning| warning.text).chain(all.iter().cloned()).collect()
    }
}
