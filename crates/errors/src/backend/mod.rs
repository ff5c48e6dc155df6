//! What a backend finds by itself, and what it passes on of the server.

mod argument;
mod model;
mod table_error;

pub use argument::ArgumentError;
pub use model::{CommandFailure, ModelError};
pub use table_error::TableError;

use crate::{ErrorClass, Failure, Report, Sqlstate};
use std::fmt;

/// The release that this library is of.
const RELEASE: &str = env!("CARGO_PKG_VERSION");

crate::error_table! {
    /// What can go wrong between SQL and the server.
    #[derive(Debug)]
    pub enum Error: Sqlstate {
        /// An image over `clip_search.max_image_bytes`, found before it was sent.
        ImageTooLarge {
            /// Its length.
            bytes: usize,
            /// The limit.
            max: usize,
        } => PROGRAM_LIMIT_EXCEEDED {
            message: "image has {bytes} bytes, more than {max}",
            hint: "Scale the image down, or raise clip_search.max_image_bytes.",
        }
        /// A text that no model would read to its end.
        TextTooLarge {
            /// Its length in UTF-8.
            bytes: usize,
            /// The limit.
            max: usize,
        } => PROGRAM_LIMIT_EXCEEDED {
            message: "text has {bytes} bytes, more than {max}",
            hint: "Pass its beginning, such as left(the_text, 1000): a model reads some dozen words.",
        }
        /// A damaged text: with bytes that no character stands for.
        NotUtf8 {
            /// The first such byte.
            byte: u8,
            /// Where it is, counted from 1.
            position: usize,
        } => CHARACTER_NOT_IN_REPERTOIRE {
            message: "text is not UTF-8: invalid byte {byte:#04x} at position {position}",
            docs: "The value is damaged: store it again.",
        }
        /// The same in SQL_ASCII, where bytes have no meaning and need not be UTF-8.
        NotUtf8InSqlAscii {
            /// The first such byte.
            byte: u8,
            /// Where it is, counted from 1.
            position: usize,
        } => CHARACTER_NOT_IN_REPERTOIRE {
            message: "text is not UTF-8: invalid byte {byte:#04x} at position {position}",
            hint: "The database's encoding, SQL_ASCII, does not say what bytes mean, and clip_search takes them for UTF-8. \
                   Convert them, as in convert_from(convert(convert_to(the_text, 'SQL_ASCII'), 'LATIN1', 'UTF8'), 'UTF8').",
        }
        /// The request does not fit into a message.
        RequestTooLong {
            /// Its length.
            bytes: usize,
        } => PROGRAM_LIMIT_EXCEEDED {
            message: "request of {bytes} bytes is too long",
            hint: "Pass fewer or smaller items at a time.",
        }
        /// An array of more than one dimension.
        ArrayDimensions {
            /// How many it has.
            dimensions: i32,
        } => ARRAY_ELEMENT_ERROR {
            message: "array must have one dimension, not {dimensions}",
            hint: "Pass a list, such as ARRAY['a', 'b'].",
        }
        /// A warning, with `clip_search.on_truncated = decode`.
        DamagedImage {
            /// Which, and what is wrong with it.
            reason: String,
        } => INVALID_BINARY_REPRESENTATION {
            message: "embedded what there is of a damaged image",
            detail: "{reason}",
            hint: "(clip_image_info(the_image)).error says of each image what is wrong with it.",
        }
        /// The frames of an image take more than anybody wants of one.
        FramesTooLarge {
            /// The frame with which they do.
            frame: u32,
            /// The limit.
            max: usize,
        } => PROGRAM_LIMIT_EXCEEDED {
            message: "images of the frames up to frame {frame} have more than {max} bytes together",
            hint: "Pass a lower max_frames, or take each nth frame with every.",
        }
        /// A warning, with `clip_search.on_truncated = decode`.
        DamagedFrames {
            /// What is wrong with the file.
            reason: String,
        } => INVALID_BINARY_REPRESENTATION {
            message: "extracted what frames there are of a damaged image",
            detail: "{reason}",
            hint: "Without the end of the file there are no more frames; store it again.",
        }
        /// The connection broke, and broke again after a new attempt.
        Lost {
            /// How.
            reason: String,
        } => CONNECTION_FAILURE {
            message: "lost the connection to clip-search-server",
            detail: "{reason}",
            hint: "The server is being restarted; run the statement again. The server log says why it ended.",
        }
        /// The server is of another release than this library.
        Mismatch {
            /// The server's release.
            theirs: String,
        } => OBJECT_NOT_IN_PREREQUISITE_STATE {
            let ours = RELEASE;
            message: "clip-search-server is of release {theirs}, this session's library of {ours}",
            hint: "After an upgrade, run SELECT clip_restart_server() as a superuser, and reconnect sessions that are older than \
                   the upgrade; with clip_search in shared_preload_libraries, restart PostgreSQL.",
        }
        /// No answer in time.
        NoAnswer {
            /// The limit.
            ms: u128,
        } => INSUFFICIENT_RESOURCES {
            message: "clip-search-server did not answer within {ms} ms",
            hint: "Try again when there is less to do, ask for fewer items, or raise clip_search.request_timeout.",
        }
        /// No server listens, and none came up in time.
        NotStarted {
            /// How long we waited.
            ms: u128,
            /// What the supervisor says.
            reason: String,
        } => CONNECTION_FAILURE {
            message: "clip-search-server did not start within {ms} ms",
            detail: "{reason}",
            hint: "See the server log, and raise clip_search.start_timeout if the machine is slow.",
        }
        /// The server's program cannot be executed.
        CannotStart {
            /// The program.
            program: String,
            /// What the operating system said.
            reason: String,
        } => SYSTEM_ERROR {
            message: "could not start \"{program}\": {reason}",
            hint: "Run make install for this PostgreSQL, or correct clip_search.server_program.",
        }
        /// No slot for the supervisor.
        NoWorkerSlot => CONFIGURATION_LIMIT_EXCEEDED {
            message: "no background worker slot is free for the supervisor of clip-search-server",
            hint: "Raise max_worker_processes, or add clip_search to shared_preload_libraries.",
        }
        /// No supervisor runs, so nothing can be restarted.
        NoSupervisor => OBJECT_NOT_IN_PREREQUISITE_STATE {
            message: "no supervisor of clip-search-server is running",
            hint: "The next call of clip_embed_text starts it.",
        }
        /// A file of the cluster's own, such as the folder of the socket.
        File {
            /// What was tried, with the file's name.
            action: String,
            /// What the operating system said.
            reason: String,
        } => IO_ERROR {
            message: "could not {action}: {reason}",
            docs: "The message says which file of the data directory, and why.",
        }
        /// One of the extension's own tables is not as the extension's script made it.
        InternalTable {
            /// Its name.
            table: &'static str,
            /// What is the matter with it.
            problem: String,
        } => OBJECT_NOT_IN_PREREQUISITE_STATE {
            message: "table {table} is not safe to use",
            detail: "{problem}",
            hint: "Have a superuser create the extension again, with DROP EXTENSION clip_search and CREATE EXTENSION \
                   clip_search.",
        }
        /// The `vector` type is not what this library knows.
        VectorDimension {
            /// What its header says.
            dimension: usize,
        } => INTERNAL_ERROR {
            message: "unexpected vector of {dimension} dimensions",
            docs: "Install a pgvector that this release supports, or report it.",
        }
        @wrap {
            /// The server answered with a failure.
            Server(Failure),
            /// One element of an array failed.
            Element(ElementError),
            /// An argument that makes no sense.
            ArgumentError(ArgumentError),
            /// A model that could not be installed, verified or removed.
            Model(ModelError),
            /// A table that cannot be filled.
            TableError(TableError),
        }
    }
}

impl Error {
    /// The same error, of an array's element at this position, counted from 1.
    pub fn of_element(self, index: usize) -> Self {
        Self::Element(ElementError { index, error: Box::new(self) })
    }

    /// Whether it is the image's fault, and not that of the server, the model or the settings of the model.
    pub fn is_the_images_fault(&self) -> bool {
        match self {
            Self::Server(failure) => is_the_images_fault(failure.class),
            Self::Element(element) => element.error.is_the_images_fault(),
            Self::ImageTooLarge { .. } => true,
            _ => false,
        }
    }
}

/// Whether a failure is that of one image or text: other items of the request may be fine.
pub fn is_the_images_fault(class: ErrorClass) -> bool {
    use ErrorClass::{BadEmbedding, BadImage, LimitExceeded, UnsupportedImage};
    matches!(class, BadEmbedding | BadImage | UnsupportedImage | LimitExceeded)
}

crate::error_table! {
    /// What a backend answers for a URL in the server's place.
    #[derive(Debug)]
    pub enum UrlError: ErrorClass {
        /// Others have arrived, this one has not.
        Unanswered {
            /// Since the last one arrived.
            ms: u128,
        } => UrlFailed {
            message: "nothing arrived for {ms} ms, while this was waiting or under way",
            hint: "Raise clip_search.request_timeout, or fetch fewer images at a time.",
        }
    }
}

/// An error of one element of an array.
#[derive(Debug)]
pub struct ElementError {
    /// Position in the array, counted from 1, NULL elements included.
    pub index: usize,
    /// What is wrong with it.
    pub error: Box<Error>,
}

impl fmt::Display for ElementError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl Report for ElementError {
    fn sqlstate(&self) -> Sqlstate {
        self.error.sqlstate()
    }

    fn detail(&self) -> Option<String> {
        let detail = format!("This is element {} of the array.", self.index);
        Some(self.error.detail().map_or_else(|| detail.clone(), |more| format!("{detail} {more}")))
    }

    fn hint(&self) -> Option<String> {
        self.error.hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_element_adds_its_position() {
        let lost = Error::Lost { reason: "The connection was closed.".into() }.of_element(3);
        assert_eq!(lost.to_string(), "lost the connection to clip-search-server");
        assert_eq!(lost.detail().unwrap(), "This is element 3 of the array. The connection was closed.");
        assert_eq!(lost.sqlstate(), Sqlstate::CONNECTION_FAILURE);
        let large = Error::ImageTooLarge { bytes: 2, max: 1 }.of_element(1);
        assert_eq!(large.detail().unwrap(), "This is element 1 of the array.");
        assert_eq!(large.hint(), Error::ImageTooLarge { bytes: 2, max: 1 }.hint());
        assert!(large.is_the_images_fault() && !lost.is_the_images_fault());
    }

    #[test]
    fn a_failure_of_the_server_passes_through() {
        let failure = Failure {
            class: ErrorClass::NoSuchModel,
            message: "m".into(),
            detail: Some("D.".into()),
            hint: Some("H.".into()),
        };
        let error = Error::from(failure);
        assert_eq!((error.to_string().as_str(), error.sqlstate().as_str()), ("m", "42704"));
        assert_eq!((error.detail().as_deref(), error.hint().as_deref()), (Some("D."), Some("H.")));
    }
}
