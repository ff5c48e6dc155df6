//! Tables whose rows lie on other servers.

mod fixture;
mod ingest;
mod oracle;
mod recipe;
mod refusals;
