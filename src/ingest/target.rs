//! The table that is filled, and the columns: checked before the first row is read.

use crate::client;
use crate::errors::{Error, Result, TableError};
use crate::memo::Modality;
use crate::search::{Column, Table};
use crate::spi::{self, Allowed, Argument, LocalSettings};
use crate::text;
use pgrx::pg_sys;
use std::ffi::CStr;

/// What the source column holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Encoded images, bytea.
    Image,
    /// Texts.
    Text,
    /// URLs of images.
    Url,
}

impl Kind {
    fn of(name: &str) -> Result<Self> {
        match name {
            "image" => Ok(Self::Image),
            "text" => Ok(Self::Text),
            "url" => Ok(Self::Url),
            _ => Err(TableError::SourceKind { kind: name.to_owned() }.into()),
        }
    }

    /// As in `source_kind`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Text => "text",
            Self::Url => "url",
        }
    }

    /// What is embedded in the end.
    pub fn modality(self) -> Modality {
        if self == Self::Text { Modality::Text } else { Modality::Image }
    }
}

/// Names, as the caller gives them.
pub struct Names {
    /// Images, texts or URLs.
    pub source: String,
    /// Embeddings.
    pub embedding: String,
    /// `image`, `text` or `url`; by the column's type where it is not said.
    pub kind: Option<String>,
    /// Where fetched images are kept.
    pub image: Option<String>,
    /// Where it is kept what each embedding was made of.
    pub provenance: Option<String>,
    /// `owner/name`.
    pub model: String,
}

/// A table and columns that fit each other and the model.
pub struct Target {
    /// The table.
    pub table: Table,
    /// The primary key.
    pub key: Vec<Column>,
    /// Images, texts or URLs.
    pub source: Column,
    /// Which of them.
    pub kind: Kind,
    /// Embeddings.
    pub embedding: Column,
    /// Where fetched images are kept.
    pub image: Option<Column>,
    /// Where it is kept what each embedding was made of.
    pub provenance: Option<Column>,
    /// `owner/name`.
    pub model: String,
    /// What an entry of the provenance column begins with: model, precision and fingerprint of its files.
    pub origin: String,
    /// Whether only this session sees it.
    pub is_temporary: bool,
    /// Whether tables inherit from it, which have rows with the same keys.
    pub has_children: bool,
}

const RELATION: &str = "SELECT relkind, relpersistence = 't', relpersistence = 't' AND pg_is_other_temp_schema(relnamespace), relkind = 'r' AND relhassubclass FROM pg_class WHERE oid = $1";
const GENERATED: &str = "SELECT 1 FROM pg_attribute WHERE attrelid = $1 AND attname = $2::name AND (attgenerated <> '' OR attidentity = 'a')";
const PRIVILEGE: &str = "SELECT has_column_privilege($1, $2::name::text, $3)";
/// By what it is and not by its name: another may have that by now.
const MAY_FETCH: &str = "SELECT bool_or(has_function_privilege(p.oid, 'EXECUTE')) FROM pg_proc AS p \
    JOIN pg_depend AS d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e' \
    JOIN pg_extension AS e ON d.refclassid = 'pg_extension'::regclass AND e.oid = d.refobjid AND e.extname = 'clip_search' \
    WHERE p.prosrc = 'clip_fetch_images'";

impl Target {
    /// Checks all that can be known before a row is read.
    ///
    /// # Errors
    /// [`TableError`] and [`crate::errors::ArgumentError`], and what the server has against the model.
    pub fn check(id: pg_sys::Oid, names: &Names) -> Result<Self> {
        let target = Self::check_columns(id, names)?;
        if target.key.is_empty() {
            let table = target.table.name;
            return Err(match target.table.can_have_key {
                true => TableError::NoPrimaryKey { table },
                false => TableError::Elsewhere { table, is: "has foreign partitions" },
            }
            .into());
        }
        Ok(target)
    }

    /// The same, for who has no need of a primary key.
    ///
    /// # Errors
    /// As [`Target::check`].
    pub fn check_columns(id: pg_sys::Oid, names: &Names) -> Result<Self> {
        let table = Table::read(id)?;
        let (is_temporary, has_children) = check_relation(&table)?;
        let key: Vec<Column> = table.key(None).map_or(Vec::new(), |key| key.into_iter().cloned().collect());
        let source = table.column(&names.source)?.clone();
        let kind = kind_of(&source, names.kind.as_deref())?;
        let embedding = table.embedding_column(Some(&names.embedding))?.0.clone();
        let of_type = |name: &Option<String>, type_id: pg_sys::Oid, wanted: &'static str| match name {
            None => Ok(None),
            Some(name) => {
                let column = table.column(name)?.clone();
                if column.type_id == type_id {
                    return Ok(Some(column));
                }
                let (column, found) = (column.name, column.type_name);
                Err(Error::from(TableError::ColumnType { column, found, wanted }))
            }
        };
        let image = of_type(&names.image, pg_sys::BYTEAOID, "bytea")?;
        let provenance = of_type(&names.provenance, pg_sys::TEXTOID, "text")?;
        if image.is_some() && kind != Kind::Url {
            return Err(TableError::NothingToKeep.into());
        }
        check_distinct(&table, &key, [&source, &embedding], [&image, &provenance])?;
        for column in key.iter().chain([&source, &embedding]).chain(&provenance) {
            check_privilege(&table, column, "SELECT")?;
        }
        for column in [&embedding].into_iter().chain(&image).chain(&provenance) {
            check_privilege(&table, column, "UPDATE")?;
            check_not_generated(&table, column)?;
        }
        if kind == Kind::Url {
            check_may_fetch()?;
        }
        let origin = check_model(&embedding, &names.model)?;
        let model = names.model.clone();
        Ok(Self { table, key, source, kind, embedding, image, provenance, model, origin, is_temporary, has_children })
    }

    /// What a statement about the rows may refer to.
    pub fn allowed(&self) -> Allowed {
        self.table.allowed()
    }

    /// Takes the table's name as it is by now; whether it is another.
    ///
    /// # Errors
    /// [`TableError::Dropped`].
    pub fn take_name(&mut self) -> Result<bool> {
        let name = name_now(self.table.id).ok_or_else(|| TableError::Dropped { table: self.table.name.clone() })?;
        let is_another = name != self.table.name;
        self.table.name = name;
        Ok(is_another)
    }
}

/// Whether it is a temporary one, and whether others inherit from it.
fn check_relation(table: &Table) -> Result<(bool, bool)> {
    let _settings = LocalSettings::with_catalog_only();
    let relation =
        |row: &spi::Row| Ok((row.text(1).unwrap_or_default(), row.is_true(2), row.is_true(3), row.is_true(4)));
    let found = spi::select(&Allowed::default(), RELATION, &[Argument::oid(table.id)], relation)?;
    let (kind, is_temporary, is_anothers, has_children) = found.into_iter().next().unwrap_or_default();
    let kind = match kind.as_str() {
        "r" | "p" if is_anothers => "a temporary table of another session",
        "r" | "p" => return Ok((is_temporary, has_children)),
        "v" => "a view",
        "m" => "a materialized view",
        _ => return Err(TableError::Elsewhere { table: table.name.clone(), is: "is a foreign table" }.into()),
    };
    Err(TableError::NotFillable { table: table.name.clone(), kind }.into())
}

fn kind_of(source: &Column, wanted: Option<&str>) -> Result<Kind> {
    // SAFETY: a type that exists.
    let base = unsafe { pg_sys::getBaseType(source.type_id) };
    let is_text = text::is_type(base);
    let kind = match wanted {
        Some(name) => Kind::of(name)?,
        None if is_text => Kind::Text,
        None => Kind::Image,
    };
    let (fits, wanted) = match kind {
        Kind::Image => (base == pg_sys::BYTEAOID, if wanted.is_some() { "bytea" } else { "bytea or text" }),
        Kind::Text | Kind::Url => (is_text, "text"),
    };
    if fits {
        return Ok(kind);
    }
    let (column, found) = (source.name.clone(), source.type_name.clone());
    Err(TableError::ColumnType { column, found, wanted }.into())
}

/// Schema and name, quoted, as they are now.
fn name_now(table: pg_sys::Oid) -> Option<String> {
    // SAFETY: any number may be asked for; names are NULL or NUL-terminated and palloc'd.
    unsafe {
        let name = pg_sys::get_rel_name(table);
        let schema = pg_sys::get_namespace_name(pg_sys::get_rel_namespace(table));
        let is_there = !name.is_null() && !schema.is_null();
        is_there.then(|| text::from_c(CStr::from_ptr(pg_sys::quote_qualified_identifier(schema, name))))
    }
}

/// No column may be two things at once; and those that are written may not be in the key.
fn check_distinct(
    table: &Table,
    key: &[Column],
    [source, embedding]: [&Column; 2],
    [image, provenance]: [&Option<Column>; 2],
) -> Result<()> {
    let written =
        [(Some(embedding), "the embedding"), (image.as_ref(), "the image"), (provenance.as_ref(), "the provenance")];
    let mut known = vec![(source, "the source")];
    for (column, other) in written.into_iter().filter_map(|(column, what)| Some((column?, what))) {
        let name = || column.name.clone();
        if let Some((_, one)) = known.iter().find(|(known, _)| known.name == column.name) {
            return Err(TableError::SameColumn { column: name(), one, other }.into());
        }
        if key.iter().any(|key| key.name == column.name) {
            return Err(TableError::WrittenKey { table: table.name.clone(), column: name() }.into());
        }
        known.push((column, other));
    }
    Ok(())
}

fn check_privilege(table: &Table, column: &Column, privilege: &'static str) -> Result<()> {
    let _settings = LocalSettings::with_catalog_only();
    let arguments = [Argument::oid(table.id), Argument::text(&column.name), Argument::text(privilege)];
    match spi::select(&Allowed::default(), PRIVILEGE, &arguments, |row| Ok(row.is_true(1)))?[..] {
        [true] => Ok(()),
        _ => {
            let (table, column) = (table.name.clone(), column.name.clone());
            Err(TableError::Privilege { table, column, privilege }.into())
        }
    }
}

/// Fails where PostgreSQL fills a column by itself.
///
/// # Errors
/// [`TableError::Generated`].
pub fn check_not_generated(table: &Table, column: &Column) -> Result<()> {
    let _settings = LocalSettings::with_catalog_only();
    let arguments = [Argument::oid(table.id), Argument::text(&column.name)];
    if spi::select(&Allowed::default(), GENERATED, &arguments, |_| Ok(()))?.is_empty() {
        return Ok(());
    }
    Err(TableError::Generated { column: column.name.clone() }.into())
}

fn check_may_fetch() -> Result<()> {
    if !crate::settings::url_fetch() {
        return Err(crate::errors::ArgumentError::FetchOff.into());
    }
    let _settings = LocalSettings::with_catalog_only();
    match spi::select(&Allowed::default(), MAY_FETCH, &[], |row| Ok(row.is_true(1)))?[..] {
        [true] => Ok(()),
        _ => Err(TableError::MayNotFetch.into()),
    }
}

/// The model's dimension has to be the column's; what the embeddings are from.
fn check_model(embedding: &Column, model: &str) -> Result<String> {
    // Raises what is wrong with it.
    client::logits(model)?;
    let Some(found) = client::models()?.into_iter().find(|found| found.name == model) else {
        return Ok(model.to_owned());
    };
    let expected = embedding.embeddings.as_ref().and_then(|embeddings| embeddings.dimension);
    if let (Some(expected), Some(found)) = (expected, found.dimension.map(|dimension| dimension as usize))
        && expected != found
    {
        let (model, column) = (model.to_owned(), embedding.name.clone());
        return Err(TableError::Dimension { model, found, column, expected }.into());
    }
    let fingerprint: String = found.fingerprint.unwrap_or_default().chars().take(16).collect();
    Ok(format!("{model} {} {fingerprint}", found.precision.unwrap_or_default()))
}
