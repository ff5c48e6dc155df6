//! A table that is searched, as the catalog describes it to the user who asks.

use crate::errors::{ArgumentError, Result};
use crate::spi::{self, Allowed, Argument, Connection, LocalSettings, Row};
use crate::{text, vector};
use pgrx::pg_sys::{self, Oid};
use std::cell::OnceCell;
use std::ffi::CStr;

/// A table, partitioned table, view, materialized view or foreign table.
pub struct Table {
    /// Its OID.
    pub id: Oid,
    /// Schema and name, quoted.
    pub name: String,
    /// In order.
    pub columns: Vec<Column>,
    /// The OIDs of its indexes.
    pub indexes: Vec<Oid>,
    /// Whether it has rows of other relations, whose indexes are not known here: a view, a foreign table, a table with
    /// foreign partitions or with children.
    pub is_indirect: bool,
    /// Whether rows lie on other servers: a foreign table, or one with foreign partitions.
    pub is_remote: bool,
    /// Whether it can have a primary key.
    pub can_have_key: bool,
    /// Its partitions that have rows, where some of these are foreign.
    pub shards: Vec<Shard>,
    /// The numbers of the columns by which partitions are chosen.
    pub partition_key: Vec<i16>,
    /// The OIDs of a partitioned table and all its partitions.
    pub tree: Vec<Oid>,
    /// Which reading of it this is, where it is kept: plans of its statements are kept with it.
    pub number: Option<u64>,
}

/// A partition that has rows.
pub struct Shard {
    /// Its OID.
    pub id: Oid,
    /// Schema and name, quoted.
    pub name: String,
    /// Whether it is a foreign table.
    pub is_foreign: bool,
}

/// A row of [`PARTITIONS`].
struct Partition {
    shard: Shard,
    has_rows: bool,
    key: Vec<i16>,
}

impl Partition {
    fn of(row: &Row) -> Self {
        let text = |column| row.text(column).unwrap_or_default();
        let (id, kind) = (Oid::from_u32(row.number(1).unwrap_or_default()), text(3));
        Self {
            shard: Shard { id, name: text(2), is_foreign: kind == "f" },
            has_rows: kind != "p",
            key: text(4).split(',').filter_map(|number| number.parse().ok()).collect(),
        }
    }
}

/// A column of a [`Table`].
#[derive(Clone)]
pub struct Column {
    /// As in the catalog.
    pub name: String,
    /// Its number in the table, from 1.
    pub position: i16,
    /// Quoted where it has to be.
    pub quoted: String,
    /// The type, as PostgreSQL shows it.
    pub type_name: String,
    /// The type in a statement: with its schema, but for those that have words of SQL's own, such as integer.
    pub sql_type: String,
    /// The type's OID.
    pub type_id: Oid,
    /// Whether its values are lists.
    pub is_array: bool,
    /// Whether its type is jsonb.
    pub is_jsonb: bool,
    /// Whether its type is one of pgvector's, or bytea: nothing to show as text.
    pub is_binary: bool,
    /// Place in the primary key, from 0.
    pub key_position: Option<i32>,
    /// What is needed to search it, where it is a `vector` or `halfvec`.
    pub embeddings: Option<Embeddings>,
    /// Its operator for equality, once it was asked for.
    equals: OnceCell<String>,
}

/// What is needed to compare a column's vectors.
#[derive(Clone)]
pub struct Embeddings {
    /// Schema of pgvector, quoted.
    pub schema: String,
    /// `vector` or `halfvec`.
    pub type_name: String,
    /// OID of the type `vector`.
    pub vector_type: Oid,
    /// Dimension, where the column has one.
    pub dimension: Option<usize>,
    /// The indexes that a search can use, the best first.
    pub indexes: Vec<Index>,
}

/// A vector index.
#[derive(Clone)]
pub struct Index {
    /// Its OID.
    pub id: Oid,
    /// What it is of.
    pub kind: IndexKind,
    /// The operator that it orders by: `<=>` is cosine distance.
    pub operator: String,
    /// The dimension that its expression names.
    pub dimension: Option<usize>,
}

/// What an index is of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum IndexKind {
    /// The column.
    Column,
    /// `embedding::halfvec(n)`.
    Halves,
    /// `binary_quantize(embedding)::bit(n)`.
    Bits,
}

/// How a column's words are had.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Words {
    /// It is a tsvector.
    Parsed,
    /// It is a text.
    Text,
    /// It is a list of texts.
    List,
}

impl Embeddings {
    /// The index that a search for a vector of so many dimensions uses; of any, where it is not known.
    pub fn index(&self, dimension: Option<usize>) -> Option<&Index> {
        let fits = |index: &&Index| dimension.is_none() || index.dimension.is_none() || index.dimension == dimension;
        self.indexes.iter().find(fits)
    }
}

impl Index {
    /// From a row of [`COLUMNS`]: OID, kind, operator, dimension.
    fn parse(words: &str) -> Option<Self> {
        let mut words = words.split(' ');
        let id = Oid::from_u32(words.next()?.parse().ok()?);
        let kind = match words.next()? {
            "0" => IndexKind::Column,
            "1" => IndexKind::Halves,
            "2" => IndexKind::Bits,
            _ => return None,
        };
        let operator = words.next()?.to_owned();
        Some(Self { id, kind, operator, dimension: words.next().and_then(|word| word.parse().ok()) })
    }
}

const RELATION: &str = "
SELECT format('%I.%I', n.nspname, c.relname), c.relkind,
       (SELECT string_agg(i.indexrelid::text, ',') FROM pg_index AS i WHERE i.indrelid = c.oid),
       c.relhassubclass
  FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
 WHERE c.oid = $1";

/// Partial indexes serve only some queries; they do not decide for all. `amopfamily` knows what an index orders by. Of an
/// index on an expression, the definition tells: names in it are those of what was meant when it was made.
const COLUMNS: &str = "
SELECT a.attname, quote_ident(a.attname), format_type(a.atttypid, -1), t.typcategory = 'A', t.typname = 'jsonb',
       e.schema IS NOT NULL OR a.atttypid = 'bytea'::regtype,
       a.attnum,
       (SELECT array_position(i.indkey::int2[], a.attnum) FROM pg_index AS i
         WHERE i.indrelid = $1 AND i.indisprimary
           AND array_position(i.indkey::int2[], a.attnum) < i.indnkeyatts),
       CASE WHEN t.typname IN ('vector', 'halfvec') THEN e.schema END, t.typname,
       (SELECT v.oid FROM pg_type AS v WHERE v.typname = 'vector' AND v.typnamespace = t.typnamespace),
       nullif(a.atttypmod, -1),
       (SELECT string_agg(concat_ws(' ', u.id, u.kind, u.operator, u.dimension), ','
                          ORDER BY u.kind, u.operator = '<=>' DESC, u.operator = '<#>' DESC, u.operator, u.id)
          FROM (SELECT i.indexrelid AS id, o.oprname AS operator, x.dimension,
                       CASE x.definition
                           WHEN quote_ident(a.attname) THEN 0
                           WHEN format('((%I)::%s.halfvec(%s))', a.attname, e.schema, x.dimension) THEN 1
                           WHEN format('((%s.binary_quantize(%I))::bit(%s))', e.schema, a.attname, x.dimension) THEN 2
                       END AS kind
                  FROM pg_index AS i
                  JOIN pg_opclass AS opc ON opc.oid = i.indclass[0]
                  JOIN pg_amop AS ao ON ao.amopfamily = opc.opcfamily AND ao.amoppurpose = 'o'
                  JOIN pg_operator AS o ON o.oid = ao.amopopr
                 CROSS JOIN LATERAL
                       (SELECT d.definition, substring(d.definition FROM '[(]([0-9]+)[)][)]$') AS dimension
                          FROM pg_get_indexdef(i.indexrelid, 1, false) AS d(definition)) AS x
                 WHERE i.indrelid = $1 AND i.indkey[0] IN (a.attnum, 0) AND i.indisvalid AND i.indpred IS NULL) AS u
         WHERE u.kind < 2 OR u.kind = 2 AND u.operator = '<~>'),
       a.atttypid
  FROM pg_attribute AS a
  JOIN pg_type AS t ON t.oid = a.atttypid
  LEFT JOIN LATERAL
       (SELECT quote_ident(n.nspname) AS schema
          FROM pg_depend AS d
          JOIN pg_extension AS x ON x.oid = d.refobjid AND x.extname = 'vector'
          JOIN pg_namespace AS n ON n.oid = t.typnamespace
         WHERE d.classid = 'pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e'
           AND d.refclassid = 'pg_extension'::regclass) AS e ON true
 WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
 ORDER BY a.attnum";

/// The tree of a partitioned table, and by which of the table's columns the partitions of each level are chosen. What an
/// expression is of is not looked at: it may be any.
const PARTITIONS: &str = "
SELECT c.oid, format('%I.%I', n.nspname, c.relname), c.relkind,
       (SELECT string_agg(a.attnum::text, ',')
          FROM pg_partitioned_table AS p
          JOIN pg_attribute AS k ON k.attrelid = p.partrelid AND (k.attnum = ANY (p.partattrs) OR 0 = ANY (p.partattrs))
          JOIN pg_attribute AS a ON a.attrelid = $1 AND a.attname = k.attname AND a.attnum > 0
         WHERE p.partrelid = c.oid)
  FROM pg_partition_tree($1) AS t
  JOIN pg_class AS c ON c.oid = t.relid
  JOIN pg_namespace AS n ON n.oid = c.relnamespace
 ORDER BY c.oid";

const OPERATOR: &str = "
SELECT format('OPERATOR(%I.%s)', n.nspname, o.oprname)
  FROM pg_operator AS o JOIN pg_namespace AS n ON n.oid = o.oprnamespace WHERE o.oid = $1";

impl Table {
    /// Reads what the catalog says.
    ///
    /// # Errors
    /// [`ArgumentError::NoSuchTable`], [`ArgumentError::NotATable`].
    pub fn read(id: Oid) -> Result<Self> {
        let settings = LocalSettings::with_catalog_only();
        // The joins are written in a good order; to look for another one takes longer than the query.
        settings.set(c"join_collapse_limit", c"1");
        let _now = CatalogSnapshot::begin();
        let relation = |row: &Row| {
            let text = |column| row.text(column).unwrap_or_default();
            let indexes: Vec<Oid> = text(3).split(',').filter_map(|id| id.parse().ok()).map(Oid::from_u32).collect();
            Ok((text(1), text(2), indexes, row.is_true(4)))
        };
        let found = spi::select_catalog(RELATION, &[Argument::oid(id)], relation)?;
        let Some((name, relkind, indexes, has_children)) = found.into_iter().next() else {
            return Err(ArgumentError::NoSuchTable { oid: id.to_u32() }.into());
        };
        let kind = match relkind.as_str() {
            "r" | "p" | "v" | "m" | "f" => None,
            "i" | "I" => Some("an index"),
            "S" => Some("a sequence"),
            "c" => Some("a composite type"),
            _ => Some("not a table"),
        };
        if let Some(kind) = kind {
            return Err(ArgumentError::NotATable { table: name, kind }.into());
        }
        let columns = spi::select_catalog(COLUMNS, &[Argument::oid(id)], |row| Ok(column(row)))?;
        let partitions = match relkind.as_str() {
            "p" => spi::select_catalog(PARTITIONS, &[Argument::oid(id)], |row| Ok(Partition::of(row)))?,
            _ => Vec::new(),
        };
        let tree = partitions.iter().map(|partition| partition.shard.id).collect();
        let partition_key = partitions.iter().flat_map(|partition| partition.key.iter().copied()).collect();
        let mut shards: Vec<Shard> =
            partitions.into_iter().filter(|partition| partition.has_rows).map(|partition| partition.shard).collect();
        if !shards.iter().any(|shard| shard.is_foreign) {
            shards.clear();
        }
        let is_remote = relkind == "f" || !shards.is_empty();
        let is_indirect = match relkind.as_str() {
            "v" => true,
            "r" => has_children,
            _ => is_remote,
        };
        let can_have_key = relkind == "r" || relkind == "p" && shards.is_empty();
        let number = None;
        Ok(Self {
            id,
            name,
            columns,
            indexes,
            is_indirect,
            is_remote,
            can_have_key,
            shards,
            partition_key,
            tree,
            number,
        })
    }

    /// The types of its columns, and the one that vectors are compared in.
    pub fn types(&self) -> impl Iterator<Item = Oid> {
        let of_vectors = self.columns.iter().filter_map(|column| Some(column.embeddings.as_ref()?.vector_type));
        self.columns.iter().map(|column| column.type_id).chain(of_vectors)
    }

    /// What a statement about the table may refer to.
    pub fn allowed(&self) -> Allowed {
        Allowed::table(self.id, self.types()).kept(self.number)
    }

    /// The same for a statement that refers to its shards: whoever may read the table may read these.
    pub fn allowed_with_shards(&self) -> Allowed {
        self.allowed().with_parts(self.shards.iter().map(|shard| shard.id))
    }

    /// Whether the user sees the same rows in the shards as in the table.
    pub fn has_no_policies(&self) -> bool {
        // SAFETY: relations; where one has gone meanwhile, none has policies, and the statement raises.
        let is_free = |id| unsafe { pg_sys::check_enable_rls(id, Oid::INVALID, true) } != pg_sys::CheckEnableRlsResult::RLS_ENABLED as i32;
        is_free(self.id) && self.shards.iter().all(|shard| is_free(shard.id))
    }

    /// Whether the user may read a column.
    pub fn is_readable(&self, column: &Column) -> bool {
        let (select, ok) = (pg_sys::AclMode::from(pg_sys::ACL_SELECT), pg_sys::AclResult::ACLCHECK_OK);
        // SAFETY: a table and one of its columns; where they have gone meanwhile, it raises.
        unsafe {
            let user = pg_sys::GetUserId();
            pg_sys::pg_class_aclcheck(self.id, user, select) == ok
                || pg_sys::pg_attribute_aclcheck(self.id, column.position, user, select) == ok
        }
    }

    /// Raises what a statement would, where the user may not read a column.
    pub fn require_readable(&self, column: &Column) {
        if !self.is_readable(column) {
            self.deny(pg_sys::AclResult::ACLCHECK_NO_PRIV);
        }
    }

    /// Whether the user owns it, or has the role that does.
    pub fn is_owned(&self, connection: &Connection) -> bool {
        const IS_OWNER: &str = "SELECT FROM pg_catalog.pg_class AS c WHERE c.oid OPERATOR(pg_catalog.=) $1 \
            AND pg_catalog.pg_has_role(c.relowner, 'USAGE')";
        connection.execute(IS_OWNER, &[Argument::oid(self.id)]).0 > 0
    }

    /// Raises what ALTER TABLE would, where the user does not own it.
    pub fn require_owner(&self) {
        if !self.is_owned(&Connection::open()) {
            self.deny(pg_sys::AclResult::ACLCHECK_NOT_OWNER);
        }
    }

    fn deny(&self, denied: pg_sys::AclResult::Type) {
        let name = text::to_c(&self.name);
        // SAFETY: a NUL-terminated name.
        unsafe { pg_sys::aclcheck_error(denied, pg_sys::ObjectType::OBJECT_TABLE, name.as_ptr()) };
    }

    /// The column of this name.
    ///
    /// # Errors
    /// [`ArgumentError::NoSuchColumn`].
    pub fn column(&self, name: &str) -> Result<&Column> {
        self.columns.iter().find(|column| column.name == name).ok_or_else(|| {
            let columns: Vec<&str> = self.columns.iter().map(|column| column.quoted.as_str()).collect();
            let (table, column) = (self.name.clone(), name.to_owned());
            ArgumentError::NoSuchColumn { table, column, columns: columns.join(", ") }.into()
        })
    }

    /// The column of the embeddings: the one of this name, or the only one there is.
    ///
    /// # Errors
    /// [`ArgumentError::NoSuchColumn`], [`ArgumentError::NotAnEmbeddingColumn`], [`ArgumentError::NoEmbeddingColumn`],
    /// [`ArgumentError::ManyEmbeddingColumns`].
    pub fn embedding_column(&self, name: Option<&str>) -> Result<(&Column, &Embeddings)> {
        if let Some(name) = name {
            let column = self.column(name)?;
            return match &column.embeddings {
                Some(embeddings) => Ok((column, embeddings)),
                None => {
                    let found = column.type_name.clone();
                    Err(ArgumentError::NotAnEmbeddingColumn { column: column.name.clone(), found }.into())
                }
            };
        }
        let candidates: Vec<(&Column, &Embeddings)> =
            self.columns.iter().filter_map(|column| Some((column, column.embeddings.as_ref()?))).collect();
        match candidates[..] {
            [one] => Ok(one),
            [] => Err(ArgumentError::NoEmbeddingColumn { table: self.name.clone() }.into()),
            _ => {
                let columns: Vec<&str> = candidates.iter().map(|(column, _)| column.quoted.as_str()).collect();
                Err(ArgumentError::ManyEmbeddingColumns { table: self.name.clone(), columns: columns.join(", ") }
                    .into())
            }
        }
    }

    /// The columns that tell rows apart: the one of this name, or those of the primary key in its order.
    ///
    /// # Errors
    /// [`ArgumentError::NoSuchColumn`], [`ArgumentError::NoPrimaryKey`], [`ArgumentError::NoKeyColumn`].
    pub fn key(&self, name: Option<&str>) -> Result<Vec<&Column>> {
        if let Some(name) = name {
            return Ok(vec![self.column(name)?]);
        }
        let mut key: Vec<&Column> = self.columns.iter().filter(|column| column.key_position.is_some()).collect();
        key.sort_by_key(|column| column.key_position);
        let table = || self.name.clone();
        match key[..] {
            [] if self.can_have_key => Err(ArgumentError::NoPrimaryKey { table: table() }.into()),
            [] => Err(ArgumentError::NoKeyColumn { table: table() }.into()),
            _ => Ok(key),
        }
    }
}

/// While it lives, catalogs are read as they are now. The snapshot of the statement at hand may be older than the changes
/// that this backend has been told, and would have what is read then be kept for good.
struct CatalogSnapshot(());

impl CatalogSnapshot {
    fn begin() -> Self {
        // SAFETY: in a transaction; a snapshot that is not any catalog's own is taken anew, and copied.
        unsafe { pg_sys::PushActiveSnapshot(pg_sys::GetCatalogSnapshot(Oid::INVALID)) };
        Self(())
    }
}

impl Drop for CatalogSnapshot {
    fn drop(&mut self) {
        // After an error, Postgres drops it when the transaction or subtransaction ends.
        if !std::thread::panicking() {
            // SAFETY: the one of `begin`; what came later is gone.
            unsafe { pg_sys::PopActiveSnapshot() };
        }
    }
}

fn column(row: &Row) -> Column {
    let value = |column: i32| row.text(column).unwrap_or_default();
    let oid = |column: i32| Oid::from(row.number::<u32>(column).unwrap_or_default());
    let (type_id, vector_type) = (oid(14), oid(11));
    // Not by its name and extension alone: an extension's owner adds to it what he likes.
    let is_genuine =
        || vector::kind_of(type_id).is_some() && vector::kind_of(vector_type) == Some(vector::Kind::Single);
    Column {
        name: value(1),
        quoted: value(2),
        type_name: value(3),
        sql_type: sql_type(type_id),
        type_id,
        is_array: row.is_true(4),
        is_jsonb: row.is_true(5),
        is_binary: row.is_true(6),
        position: row.number(7).unwrap_or_default(),
        key_position: row.number(8),
        embeddings: row.text(9).filter(|_| is_genuine()).map(|schema| Embeddings {
            schema,
            type_name: value(10),
            vector_type,
            dimension: row.number(12),
            indexes: row.text(13).unwrap_or_default().split(',').filter_map(Index::parse).collect(),
        }),
        equals: OnceCell::new(),
    }
}

fn sql_type(type_id: Oid) -> String {
    // That the modifier is -1 makes it bpchar, of any length, where it would be character, of length 1.
    let flags = pg_sys::FORMAT_TYPE_FORCE_QUALIFY | pg_sys::FORMAT_TYPE_TYPEMOD_GIVEN;
    // SAFETY: any number; what comes back is NUL-terminated and palloc'd.
    unsafe {
        let name = pg_sys::format_type_extended(type_id, -1, flags as u16);
        text::from_c(CStr::from_ptr(name))
    }
}

fn qualified(operator: Oid) -> Result<Option<String>> {
    let _settings = LocalSettings::with_catalog_only();
    // The name may be kept with the table.
    let _now = CatalogSnapshot::begin();
    Ok(spi::select_catalog(OPERATOR, &[Argument::oid(operator)], |row| Ok(row.text(1)))?.into_iter().flatten().next())
}

impl Column {
    /// The operator by which the type's default index or hash table compares, with its schema: another `=` may lie in
    /// the caller's search path.
    ///
    /// # Errors
    /// None of its own; Postgres raises what it has against the query.
    pub fn equals(&self) -> Result<String> {
        if let Some(equals) = self.equals.get() {
            return Ok(equals.clone());
        }
        // SAFETY: the cache's entry lives as long as the process.
        let operator = unsafe { (*pg_sys::lookup_type_cache(self.type_id, pg_sys::TYPECACHE_EQ_OPR as i32)).eq_opr };
        let equals = qualified(operator)?.unwrap_or_else(|| "OPERATOR(pg_catalog.=)".to_owned());
        Ok(self.equals.get_or_init(|| equals).clone())
    }

    /// Whether its type has an order.
    pub fn is_sortable(&self) -> bool {
        // SAFETY: as in `equals`.
        let types = unsafe { &*pg_sys::lookup_type_cache(self.type_id, pg_sys::TYPECACHE_LT_OPR as i32) };
        types.lt_opr != Oid::INVALID
    }

    /// How its words are had, where it has any. A text is what PostgreSQL, or a superuser, takes for one without running a
    /// function.
    pub fn words(&self) -> Option<Words> {
        let is_text = |id: Oid| id == pg_sys::BPCHAROID || text::is_type(id);
        // SAFETY: types that exist.
        let (base, element) = unsafe {
            let base = pg_sys::getBaseType(self.type_id);
            (base, pg_sys::get_element_type(base))
        };
        match element {
            _ if base == pg_sys::TSVECTOROID => Some(Words::Parsed),
            Oid::INVALID => is_text(base).then_some(Words::Text),
            element => is_text(element).then_some(Words::List),
        }
    }

    /// The operators greater than and less than of the type's default index, with their schema.
    ///
    /// # Errors
    /// As [`Column::equals`].
    pub fn comparisons(&self) -> Result<(String, String)> {
        let wanted = pg_sys::TYPECACHE_GT_OPR | pg_sys::TYPECACHE_LT_OPR;
        // SAFETY: as in `equals`.
        let types = unsafe { &*pg_sys::lookup_type_cache(self.type_id, wanted as i32) };
        let or = |found: Option<String>, other: &str| found.unwrap_or_else(|| format!("OPERATOR(pg_catalog.{other})"));
        Ok((or(qualified(types.gt_opr)?, ">"), or(qualified(types.lt_opr)?, "<")))
    }

    /// Fails where vectors of this length cannot be compared with the column's.
    ///
    /// # Errors
    /// [`ArgumentError::QueryDimension`].
    pub fn check_dimension(&self, query: usize) -> Result<()> {
        match self.embeddings.as_ref().and_then(|embeddings| embeddings.dimension) {
            Some(expected) if expected != query => {
                Err(ArgumentError::QueryDimension { query, column: self.name.clone(), expected }.into())
            }
            _ => Ok(()),
        }
    }
}
