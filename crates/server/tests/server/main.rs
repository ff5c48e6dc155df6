//! The program as the supervisor runs it, without Postgres, spoken to over its socket.

mod alone;
mod common;
mod remote;
mod serving;
