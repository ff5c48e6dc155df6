//! What can be wrong with the arguments of the functions that search, classify, combine and show.

use pgrx::PgSqlErrorCode as Code;

/// An argument that makes no sense, by itself or for the table at hand.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum ArgumentError {
    #[error("{name} must not be NULL")]
    Null { name: &'static str },
    #[error("element {index} of {name} must not be NULL")]
    NullElement { name: &'static str, index: usize },
    #[error("{name} must be {range}, not {value}")]
    OutOfRange { name: &'static str, value: String, range: String },
    #[error("{name} must not be empty")]
    Empty { name: &'static str, hint: &'static str },
    #[error("template \"{template}\" has no {{}} in it")]
    Template { template: String },
    #[error("{vectors} vectors have {weights} weights")]
    Weights { vectors: usize, weights: usize },
    #[error("weight {index} is {value}")]
    Weight { index: usize, value: f64 },
    #[error("the combined vectors cancel each other out")]
    NoDirection,
    #[error("vector {index} has {dimension} dimensions, the first {first}")]
    MixedDimensions { index: usize, dimension: usize, first: usize },
    #[error("different vector dimensions {a} and {b}")]
    Dimensions { a: usize, b: usize },
    #[error("the query has {query} dimensions, column \"{column}\" {expected}")]
    QueryDimension { query: usize, column: String, expected: usize },
    #[error("the embedding has {embedding} dimensions, model \"{model}\" {expected}")]
    ModelDimension { embedding: usize, model: String, expected: usize },
    #[error("the model gives labels that have no direction")]
    BadLabels,
    #[error("there is no relation with OID {0}")]
    NoSuchTable(u32),
    #[error("{table} is {kind}")]
    NotATable { table: String, kind: &'static str },
    #[error("{table} has no column \"{column}\"")]
    /// Without `columns`, a trigger names it.
    NoSuchColumn { table: String, column: String, columns: Option<String> },
    #[error("{table} has no column of type vector or halfvec")]
    NoEmbeddingColumn { table: String },
    #[error("{table} has several columns with embeddings: {columns}")]
    ManyEmbeddingColumns { table: String, columns: String },
    #[error("column \"{column}\" is of type {found}")]
    NotAnEmbeddingColumn { column: String, found: String },
    #[error("{table} has no primary key")]
    NoPrimaryKey { table: String },
    #[error("{name} must be a JSON object of columns and values, not {found}")]
    NotAnObject { name: &'static str, found: String },
    #[error("the filter of column \"{column}\" is an object")]
    FilterValue { column: String },
    #[error("{table} has {found} embeddings, too few to take a sample of")]
    NothingToSample { table: String, found: usize },
    #[error("{prompts} labels in templates are more than {max}")]
    TooManyPrompts { prompts: usize, max: usize },
    #[error("a gallery has at most {max} images and {mebibytes} MiB")]
    TooManyImages { max: usize, mebibytes: usize },
    #[error("clip_embed_trigger was not fired as a trigger")]
    NotFiredAsTrigger,
    #[error("clip_embed_trigger must be fired BEFORE INSERT OR UPDATE, FOR EACH ROW")]
    TriggerEvent,
    #[error("clip_embed_trigger takes a source column, an embedding column, and perhaps a model")]
    TriggerArguments,
    #[error("\"{option}\" is not an option of clip_embed_trigger")]
    TriggerOption { option: String },
    #[error("column \"{column}\" is a generated column")]
    GeneratedColumn { column: String },
    #[error("column \"{column}\" is of type {found}, not bytea or text")]
    NotASourceColumn { column: String, found: String },
    #[error("column \"{column}\" is of type {found}, not vector")]
    NotAVectorColumn { column: String, found: String },
    #[error("model \"{model}\" gives {found} dimensions, column \"{column}\" has {expected}")]
    ColumnDimension { model: String, found: usize, column: String, expected: usize },
    #[error("fetching by URL is turned off")]
    FetchOff,
}

impl ArgumentError {
    /// The SQLSTATE.
    pub fn code(&self) -> Code {
        match self {
            Self::Null { .. } | Self::NullElement { .. } => Code::ERRCODE_NULL_VALUE_NOT_ALLOWED,
            Self::OutOfRange { .. }
            | Self::Empty { .. }
            | Self::Template { .. }
            | Self::Weights { .. }
            | Self::Weight { .. }
            | Self::NoDirection
            | Self::NotAnObject { .. }
            | Self::FilterValue { .. }
            | Self::TriggerArguments
            | Self::TriggerOption { .. } => Code::ERRCODE_INVALID_PARAMETER_VALUE,
            Self::NotFiredAsTrigger | Self::TriggerEvent => Code::ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED,
            Self::GeneratedColumn { .. } => Code::ERRCODE_GENERATED_ALWAYS,
            // What pgvector raises.
            Self::MixedDimensions { .. }
            | Self::Dimensions { .. }
            | Self::QueryDimension { .. }
            | Self::ModelDimension { .. }
            | Self::ColumnDimension { .. } => Code::ERRCODE_DATA_EXCEPTION,
            Self::TooManyImages { .. } | Self::TooManyPrompts { .. } => Code::ERRCODE_PROGRAM_LIMIT_EXCEEDED,
            Self::NoSuchTable(_) => Code::ERRCODE_UNDEFINED_TABLE,
            Self::NotATable { .. } => Code::ERRCODE_WRONG_OBJECT_TYPE,
            Self::NoSuchColumn { .. } | Self::NoEmbeddingColumn { .. } => Code::ERRCODE_UNDEFINED_COLUMN,
            Self::ManyEmbeddingColumns { .. } => Code::ERRCODE_AMBIGUOUS_COLUMN,
            Self::NotAnEmbeddingColumn { .. } | Self::NotASourceColumn { .. } | Self::NotAVectorColumn { .. } => {
                Code::ERRCODE_DATATYPE_MISMATCH
            }
            Self::NoPrimaryKey { .. } | Self::NothingToSample { .. } | Self::BadLabels | Self::FetchOff => {
                Code::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE
            }
        }
    }

    /// What to do.
    pub fn hint(&self) -> String {
        let hint = match self {
            Self::Empty { hint, .. } => hint,
            Self::Template { .. } => "Put {} where the label goes, as in 'a photo of a {}'.",
            Self::Weights { .. } => "Pass one weight for each vector, or none at all.",
            Self::Weight { .. } => "Weights are numbers: 1 for a vector, a negative number for its opposite.",
            Self::NoDirection => "Change the weights: what is left has no direction to search in.",
            Self::QueryDimension { .. } => {
                "Pass the model that the column's embeddings are from, as model => 'owner/name', or set clip_search.model."
            }
            Self::ModelDimension { .. } => {
                "Pass the model that the embedding is from, as model => 'owner/name', or set clip_search.model."
            }
            Self::Dimensions { .. } | Self::MixedDimensions { .. } => "Vectors of different models cannot be compared.",
            Self::NotATable { .. } => "Pass a table, partitioned table, materialized view, view or foreign table.",
            Self::NoSuchColumn { columns: Some(columns), .. } => return format!("Its columns are {columns}."),
            Self::NoSuchColumn { columns: None, .. } => {
                "Create the trigger anew, with the names that the columns have now."
            }
            Self::NoEmbeddingColumn { .. } => {
                "Add one with the model's dimension, such as ALTER TABLE … ADD COLUMN embedding vector(512)."
            }
            Self::ManyEmbeddingColumns { .. } => "Name one, as embedding_column => 'embedding'.",
            Self::NotAnEmbeddingColumn { .. } => "Name a column of type vector or halfvec.",
            Self::NoPrimaryKey { .. } => "Add one, or name a column that tells rows apart, as id_column => 'id'.",
            Self::NotAnObject { .. } => "Pass something like '{\"shop\": 7, \"colour\": [\"red\", \"blue\"]}'.",
            Self::FilterValue { .. } => {
                "Pass a value, a list of values, or null. For other conditions, write the query: ORDER BY embedding <=> …"
            }
            Self::NothingToSample { .. } => "Embed more images first: with fewer than 30, no threshold means anything.",
            Self::TooManyPrompts { .. } => "Pass fewer labels or fewer templates.",
            Self::TooManyImages { .. } => "Show the first of them: LIMIT in a sub-select.",
            Self::FetchOff => "A superuser can turn it on: SET clip_search.url_fetch = on, or ALTER DATABASE … SET …",
            Self::NotFiredAsTrigger | Self::TriggerEvent | Self::TriggerArguments => {
                "CREATE TRIGGER … BEFORE INSERT OR UPDATE OF image ON images FOR EACH ROW EXECUTE FUNCTION \
                 clip_embed_trigger('image', 'embedding')"
            }
            Self::TriggerOption { .. } => "Options are on_error=null and on_error=error.",
            Self::GeneratedColumn { .. } => {
                "PostgreSQL computes generated columns after this trigger. Name plain columns, or do without the trigger."
            }
            Self::NotASourceColumn { .. } => "Name a column of images (bytea) or of texts.",
            Self::NotAVectorColumn { .. } => "Name a column of type vector.",
            Self::ColumnDimension { .. } => {
                "Name the model that the column is for, as the trigger's third argument, or give the column its dimension."
            }
            Self::BadLabels => "The model's files may be damaged.",
            Self::Null { .. } => "Pass a value, or leave the argument out where it has a default.",
            Self::NullElement { .. } => "Leave NULLs out, as array_remove(the_array, NULL) does.",
            Self::OutOfRange { .. } => "Pass a value in this range.",
            Self::NoSuchTable(_) => "Pass the table's name, as in 'images'.",
        };
        hint.to_owned()
    }
}
