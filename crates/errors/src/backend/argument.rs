//! What can be wrong with the arguments of the functions that search, classify, combine and show.

crate::error_table! {
    /// An argument that makes no sense, by itself or for the table at hand.
    #[derive(Debug)]
    #[allow(missing_docs)]
    pub enum ArgumentError: crate::Sqlstate {
        Null { name: &'static str } => NULL_VALUE_NOT_ALLOWED {
            message: "{name} must not be NULL",
            hint: "Pass a value, or leave the argument out where it has a default.",
        }
        NullElement { name: &'static str, index: usize } => NULL_VALUE_NOT_ALLOWED {
            message: "element {index} of {name} must not be NULL",
            hint: "Leave NULLs out, as array_remove(the_array, NULL) does.",
        }
        Empty { name: &'static str } => INVALID_PARAMETER_VALUE {
            message: "{name} must not be empty",
            hint: "Pass an array of at least one element.",
        }
        OutOfRange { name: &'static str, value: String, range: String } => INVALID_PARAMETER_VALUE {
            message: "{name} must be {range}, not {value}",
            hint: "Pass a value in this range.",
        }
        NoLabels => INVALID_PARAMETER_VALUE {
            message: "labels must not be empty",
            hint: "Pass at least one label, such as ARRAY['cat', 'dog'].",
        }
        NoTemplates => INVALID_PARAMETER_VALUE {
            message: "templates must not be empty",
            hint: "Pass at least one template, such as ARRAY['a photo of a {{}}'], or NULL for the argument template.",
        }
        NoVectors => INVALID_PARAMETER_VALUE {
            message: "vectors must not be empty",
            hint: "Pass at least one vector, such as ARRAY[clip_embed_text('a dog'), clip_embed_text('red')].",
        }
        NoQueries => INVALID_PARAMETER_VALUE {
            message: "queries must not be empty",
            hint: "Pass the texts that the threshold is for, or NULL for any.",
        }
        Template { template: String } => INVALID_PARAMETER_VALUE {
            message: "template \"{template}\" has no {{}} in it",
            hint: "Put {{}} where the label goes, as in 'a photo of a {{}}'.",
        }
        Weights { vectors: usize, weights: usize } => INVALID_PARAMETER_VALUE {
            message: "{vectors} vectors have {weights} weights",
            hint: "Pass one weight for each vector, or none at all.",
        }
        Weight { index: usize, value: f64 } => INVALID_PARAMETER_VALUE {
            message: "weight {index} is {value}",
            hint: "Weights are numbers: 1 for a vector, a negative number for its opposite.",
        }
        NoDirection => INVALID_PARAMETER_VALUE {
            message: "the combined vectors cancel each other out",
            hint: "Change the weights: what is left has no direction to search in.",
        }
        // What pgvector raises where dimensions differ.
        MixedDimensions { index: usize, dimension: usize, first: usize } => DATA_EXCEPTION {
            message: "vector {index} has {dimension} dimensions, the first {first}",
            hint: "Vectors of different models cannot be compared.",
        }
        Dimensions { a: usize, b: usize } => DATA_EXCEPTION {
            message: "different vector dimensions {a} and {b}",
            hint: "Vectors of different models cannot be compared.",
        }
        /// `written` is in which form.
        ImageAsWords { written: &'static str, remedy: &'static str } => INVALID_PARAMETER_VALUE {
            message: "the text is an image, written as {written}",
            hint: "{remedy}",
            docs: "Pass the image as bytea: decode(the_text, 'base64') or decode(the_digits, 'hex').",
        }
        VectorAsWords { dimension: usize } => INVALID_PARAMETER_VALUE {
            message: "the text is a vector of {dimension} dimensions",
            hint: "Pass it as a vector: the_text::vector.",
        }
        QueryDimension { query: usize, column: String, expected: usize } => DATA_EXCEPTION {
            message: "the query has {query} dimensions, column \"{column}\" {expected}",
            hint: "Pass the model that the column's embeddings are from, as model => 'owner/name', or set clip_search.model.",
        }
        ModelDimension { embedding: usize, model: String, expected: usize } => DATA_EXCEPTION {
            message: "the embedding has {embedding} dimensions, model \"{model}\" {expected}",
            hint: "Pass the model that the embedding is from, as model => 'owner/name', or set clip_search.model.",
        }
        BadLabels => OBJECT_NOT_IN_PREREQUISITE_STATE {
            message: "the model gives labels that have no direction",
            hint: "The model's files may be damaged.",
        }
        NoSuchTable { oid: u32 } => UNDEFINED_TABLE {
            message: "there is no relation with OID {oid}",
            hint: "Pass the table's name, as in 'images'.",
        }
        NotATable { table: String, kind: &'static str } => WRONG_OBJECT_TYPE {
            message: "{table} is {kind}",
            hint: "Pass a table, partitioned table, materialized view, view or foreign table.",
        }
        NoSuchColumn { table: String, column: String, columns: String } => UNDEFINED_COLUMN {
            message: "{table} has no column \"{column}\"",
            hint: "Its columns are {columns}.",
        }
        /// A trigger names it.
        NoTriggerColumn { table: String, column: String } => UNDEFINED_COLUMN {
            message: "{table} has no column \"{column}\"",
            hint: "Create the trigger anew, with the names that the columns have now.",
        }
        NoEmbeddingColumn { table: String } => UNDEFINED_COLUMN {
            message: "{table} has no column of type vector or halfvec",
            hint: "Add one with the model's dimension, such as ALTER TABLE … ADD COLUMN embedding vector(512).",
        }
        ManyEmbeddingColumns { table: String, columns: String } => AMBIGUOUS_COLUMN {
            message: "{table} has several columns with embeddings: {columns}",
            hint: "Name one, as embedding_column => 'embedding'.",
        }
        NotAnEmbeddingColumn { column: String, found: String } => DATATYPE_MISMATCH {
            message: "column \"{column}\" is of type {found}",
            hint: "Name a column of type vector or halfvec.",
        }
        NoPrimaryKey { table: String } => OBJECT_NOT_IN_PREREQUISITE_STATE {
            message: "{table} has no primary key",
            hint: "Add one, or name a column that tells rows apart, as id_column => 'id'.",
        }
        NoKeyColumn { table: String } => OBJECT_NOT_IN_PREREQUISITE_STATE {
            message: "{table} has no primary key",
            hint: "Name the column that tells its rows apart, as id_column => 'id': its values are the ids of the result. Views, \
                   foreign tables and tables with foreign partitions cannot have a primary key.",
        }
        NotAnObject { name: &'static str, found: String } => INVALID_PARAMETER_VALUE {
            message: "{name} must be a JSON object of columns and values, not {found}",
            hint: "Pass something like '{{\"shop\": 7, \"colour\": [\"red\", \"blue\"]}}'.",
        }
        FilterValue { column: String } => INVALID_PARAMETER_VALUE {
            message: "the filter of column \"{column}\" is an object",
            hint: "Pass a value, a list of values, or null. For other conditions, write the query: ORDER BY embedding <=> …",
        }
        OrderBy { text: String } => INVALID_PARAMETER_VALUE {
            message: "order_by is not a list of columns: {text}",
            hint: "Pass columns, each with ASC or DESC and NULLS FIRST or NULLS LAST, as in 'taken_at DESC NULLS LAST, \"Shop\"'.",
        }
        NotSortable { column: String, found: String } => DATATYPE_MISMATCH {
            message: "column \"{column}\" is of type {found}, which has no order",
            hint: "Sort by another column.",
        }
        NotText { column: String, found: String } => DATATYPE_MISMATCH {
            message: "column \"{column}\" is of type {found}",
            hint: "Name a column of type text, text[] or tsvector.",
        }
        NotAKey { column: String, found: String } => DATATYPE_MISMATCH {
            message: "column \"{column}\" is of type {found}, by which rows cannot be told apart",
            hint: "Name another column that tells rows apart, as id_column => 'id'.",
        }
        NoTrigrams => OBJECT_NOT_IN_PREREQUISITE_STATE {
            message: "there is no extension pg_trgm that you may use",
            hint: "CREATE EXTENSION pg_trgm, or leave trigrams_weight out.",
        }
        NoTextForTrigrams => INVALID_PARAMETER_VALUE {
            message: "trigrams_weight needs a column of text, and all text_columns are of type tsvector",
            hint: "Name the column that has the text, too, or leave trigrams_weight out.",
        }
        QueryIds { queries: usize, ids: usize } => INVALID_PARAMETER_VALUE {
            message: "queries has {queries} elements, ids {ids}",
            hint: "Pass for each query the id of a row that it should find.",
        }
        IndexSetting { value: String } => INVALID_PARAMETER_VALUE {
            message: "\"{value}\" is no setting of an index",
            hint: "Pass settings of pgvector, as in 'hnsw.ef_search=100' or 'ivfflat.probes=10, ivfflat.iterative_scan=off'.",
        }
        NoThreshold { table: String, column: String, kind: &'static str, model: String } => OBJECT_NOT_IN_PREREQUISITE_STATE {
            message: "no threshold was measured for column \"{column}\" of {table}, searches by {kind} and model \"{model}\"",
            hint: "The table's owner can have it measured: SELECT * FROM clip_calibrate('the_table'). Or pass min_similarity.",
        }
        ThresholdOfOtherModel {
            table: String,
            column: String,
            kind: &'static str,
            model: String,
            other: String,
        } => OBJECT_NOT_IN_PREREQUISITE_STATE {
            message: "no threshold was measured for column \"{column}\" of {table}, searches by {kind} and model \"{model}\"",
            detail: "There is one for model \"{other}\".",
            hint: "Pass the model that the column's embeddings are from, as model => 'owner/name', or have it measured anew: \
                   SELECT * FROM clip_calibrate('the_table').",
        }
        NoThresholdOfVector => INVALID_PARAMETER_VALUE {
            message: "min_similarity must not be NULL in a search by embedding",
            hint: "An embedding does not say what it is of. Pass min_similarity => clip_threshold('the_table', 'image'), or 'text'.",
        }
        TooManyPairs { max: usize } => PROGRAM_LIMIT_EXCEEDED {
            message: "more than {max} pairs of rows are that similar",
            hint: "Raise threshold, or look at a part of the table at a time with key_range.",
        }
        KeyRange { table: String } => INVALID_PARAMETER_VALUE {
            message: "key_range needs a key of one column, and that of {table} has several",
            hint: "Name a column that tells rows apart, as id_column => 'id'.",
        }
        KeyRangeLength { found: usize } => INVALID_PARAMETER_VALUE {
            message: "key_range must have two elements, not {found}",
            hint: "Pass the first key and the one before which to end, as in ARRAY[1, 10001]; NULL is no end.",
        }
        PairLengths { ids: usize, others: usize } => INVALID_PARAMETER_VALUE {
            message: "ids has {ids} elements, other_ids {others}",
            hint: "Pass both sides of each pair.",
        }
        QueryKind { value: String } => INVALID_PARAMETER_VALUE {
            message: "invalid value for parameter \"query_kind\": \"{value}\"",
            hint: "Pass text or image.",
        }
        NothingToSample { table: String, found: usize } => OBJECT_NOT_IN_PREREQUISITE_STATE {
            message: "{table} has {found} embeddings, too few to take a sample of",
            hint: "Embed more images first: with fewer than 30, no threshold means anything.",
        }
        TooManyPrompts { prompts: usize, max: usize } => PROGRAM_LIMIT_EXCEEDED {
            message: "{prompts} labels in templates are more than {max}",
            hint: "Pass fewer labels or fewer templates.",
        }
        TooManyImages { max: usize, mebibytes: usize } => PROGRAM_LIMIT_EXCEEDED {
            message: "a gallery has at most {max} images and {mebibytes} MiB",
            hint: "Show the first of them: LIMIT in a sub-select.",
        }
        NotFiredAsTrigger => E_R_I_E_TRIGGER_PROTOCOL_VIOLATED {
            message: "clip_embed_trigger was not fired as a trigger",
            hint: "CREATE TRIGGER … BEFORE INSERT OR UPDATE OF image ON images FOR EACH ROW EXECUTE FUNCTION \
                   clip_embed_trigger('image', 'embedding')",
        }
        TriggerEvent => E_R_I_E_TRIGGER_PROTOCOL_VIOLATED {
            message: "clip_embed_trigger must be fired BEFORE INSERT OR UPDATE, FOR EACH ROW",
            hint: "CREATE TRIGGER … BEFORE INSERT OR UPDATE OF image ON images FOR EACH ROW EXECUTE FUNCTION \
                   clip_embed_trigger('image', 'embedding')",
        }
        TriggerArguments => INVALID_PARAMETER_VALUE {
            message: "clip_embed_trigger takes a source column, an embedding column, and perhaps a model",
            hint: "CREATE TRIGGER … BEFORE INSERT OR UPDATE OF image ON images FOR EACH ROW EXECUTE FUNCTION \
                   clip_embed_trigger('image', 'embedding')",
        }
        TriggerOption { option: String } => INVALID_PARAMETER_VALUE {
            message: "\"{option}\" is not an option of clip_embed_trigger",
            hint: "Options are on_error=null and on_error=error.",
        }
        GeneratedColumn { column: String } => GENERATED_ALWAYS {
            message: "column \"{column}\" is a generated column",
            hint: "PostgreSQL computes generated columns after this trigger. Name plain columns, or do without the trigger.",
        }
        NotASourceColumn { column: String, found: String } => DATATYPE_MISMATCH {
            message: "column \"{column}\" is of type {found}, not bytea or text",
            hint: "Name a column of images (bytea) or of texts.",
        }
        NotAVectorColumn { column: String, found: String } => DATATYPE_MISMATCH {
            message: "column \"{column}\" is of type {found}, not vector",
            hint: "Name a column of type vector.",
        }
        ColumnDimension { model: String, found: usize, column: String, expected: usize } => DATA_EXCEPTION {
            message: "model \"{model}\" gives {found} dimensions, column \"{column}\" has {expected}",
            hint: "Name the model that the column is for, as the trigger's third argument, or give the column its dimension.",
        }
        FetchOff => OBJECT_NOT_IN_PREREQUISITE_STATE {
            message: "fetching by URL is turned off",
            hint: "A superuser can turn it on: SET clip_search.url_fetch = on, or ALTER DATABASE … SET …",
        }
    }
}
