//! A page to search a database's images with: on loopback, with the rights of the role that it connects as, and read-only.
//!
//! ```text
//! main        arguments, and where it listens
//! options     what the program was told: connection, limits, token
//! access      who may ask: names of this host, the token, pages of its own; headers of each answer
//! routes      what is answered where
//! address     a search as the query string of a page's address, and back
//! catalog     tables with embeddings, their columns, key and model
//! sql         one statement in two forms: with parameters, to be run, and with literals, to be shown and copied
//! search      address and table → statement → hits
//! histogram   how similar a sample of the rows is to the query
//! uploads     images that were dropped on the page, in memory
//! database    connections, each statement in a read-only transaction, cancelled when nobody waits for it any more
//! page        HTML; its style and script are beside it
//! ```
//!
//! Nothing is kept but uploaded images: a search is its address, and works without JavaScript. What is shown of the database is
//! escaped; the page's Content-Security-Policy allows its own style and script, and no address but its own.

mod access;
mod address;
mod catalog;
mod database;
mod error;
mod histogram;
pub mod options;
mod page;
mod routes;
mod search;
mod sql;
mod uploads;

pub use options::Options;
pub use routes::serve;
