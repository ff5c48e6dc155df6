//! Encoders that a model server runs: Triton, MLServer, KServe, or any other that speaks the Open Inference Protocol, KServe's
//! second, over gRPC.
//!
//! ```text
//! config    remote.json: which encoders, where, with what limits and credentials
//! wire      the protocol's messages
//! call      one call on one connection, and what its failure means
//! endpoint  an address: its connection, how it is, what it has done
//! pool      the addresses of an encoder: resolves names, checks what is new or has failed, chooses
//! client    a request on the best endpoint, once more on another where one fails
//! ```
//!
//! Nothing is sent to an endpoint that has not passed the [`Probe`]: a server that is ready may still serve another model, or
//! answer with nothing. A failed call has its endpoint checked anew before the next.

mod call;
mod client;
mod config;
mod endpoint;
mod error;
mod pool;
#[doc(hidden)]
pub mod wire;

pub use call::{Infer, Metadata, Tensor, TensorInfo};
pub use client::Client;
pub use config::{Config, Datatype, EncoderConfig, FILE};
pub use endpoint::EndpointStatus;
pub use error::{Error, Kind, Result};
pub use pool::Probe;
