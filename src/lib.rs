//! CLIP search inside PostgreSQL: the extension's shared library.
//!
//! Everything here calls Postgres and nothing else does. A backend stays thin: no threads, no ONNX Runtime, no image
//! decoder, no network. It sends what is to be embedded to `clip-search-server` and waits on its latch.
//!
//! ```text
//! batch_scan a custom scan node that embeds many rows in one request          → functions, client
//! functions  what SQL calls            → all below
//! ingest     filling a table, batch by batch                                  → search, embedding, client
//! search     statements that search a table, and what they have to know of it, kept until it changes → spi
//! labels     labels of a classification, embedded once                        → embedding
//! embedding  sizes, memo, server                                              → memo, client
//! client     backend → server          → protocol; asks the supervisor for a server where none listens
//! sync       embedding later: a queue and its background workers              → ingest
//! internal_tables  the extension's own tables                                  → spi
//! supervisor background worker         starts, watches, reconfigures and ends the server
//! models     installing, verifying, removing: a child process     → supervisor
//! socket     the server's
//! scope      for whom a session asks
//! settings   clip_search.* settings
//! errors     failure → SQLSTATE, DETAIL, HINT
//! spi        SQL from inside, and what a statement may refer to
//! subtransaction  something that may fail without ending the transaction
//! text       values in the database's encoding, and UTF-8
//! encoding   the database's, and messages in it
//! result_rows  the rows of a function that returns a table
//! c_function the code of a function in C
//! compat     what differs between PostgreSQL's majors
//! list       PostgreSQL's lists
//! vector     the layout of pgvector's datum
//! ```

mod batch_scan;
mod c_function;
mod client;
mod compat;
mod embedding;
mod encoding;
mod errors;
mod functions;
mod ingest;
mod internal_tables;
mod labels;
mod list;
mod memo;
mod models;
mod result_rows;
mod scope;
mod search;
mod settings;
mod socket;
mod spi;
mod subtransaction;
mod supervisor;
mod sync;
mod text;
mod vector;
mod wait_event;

#[cfg(not(panic = "unwind"))]
compile_error!("clip_search needs panic = \"unwind\": Postgres errors cross Rust frames as panics");

::pgrx::pg_module_magic!(name, version);

/// Called once by Postgres when the library is loaded, in the postmaster or in a backend.
#[pgrx::pg_guard]
#[allow(non_snake_case)]
pub extern "C-unwind" fn _PG_init() {
    errors::disable_backtraces();
    settings::register();
    batch_scan::register();
    functions::register();
    spi::register();
    // SAFETY: a flag of the postmaster, set before libraries are loaded.
    if unsafe { pgrx::pg_sys::process_shared_preload_libraries_in_progress } {
        supervisor::register();
        sync::register();
    }
}
