//! The macro that declares an enum of errors together with its table.

use crate::Sqlstate;
use std::fmt;

/// What PostgreSQL is told of an error, beside its message: the `Display`.
pub trait Report: fmt::Display {
    /// The SQLSTATE.
    fn sqlstate(&self) -> Sqlstate;
    /// DETAIL.
    fn detail(&self) -> Option<String>;
    /// HINT.
    fn hint(&self) -> Option<String>;
}

/// A row of a table of errors. Texts have `{name}` in place of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The variant.
    pub name: &'static str,
    /// The SQLSTATE.
    pub sqlstate: Sqlstate,
    /// The primary message.
    pub message: &'static str,
    /// DETAIL.
    pub detail: Option<&'static str>,
    /// HINT.
    pub hint: Option<&'static str>,
    /// For the documentation: what to do, where there is no HINT, or one that only a value has.
    pub docs: Option<&'static str>,
}

/// Declares an enum of errors. Each variant has its row: the code, then texts of `format!` that name the variant's fields.
///
/// The type after the colon has an associated constant or a variant for each code, and becomes a [`Sqlstate`]
/// ([`Sqlstate`] itself, [`ErrorClass`](crate::ErrorClass), [`CommandClass`](crate::CommandClass)). `let` before the message
/// is for values that are no field. A row has `hint`, or `docs` where there is nothing to say but in the documentation.
/// Variants in `@wrap` are other errors, passed on as they are.
///
/// ```
/// errors::error_table! {
///     /// What can be wrong with a number.
///     #[derive(Debug)]
///     pub enum Wrong: errors::Sqlstate {
///         /// There is none.
///         Missing => NULL_VALUE_NOT_ALLOWED {
///             message: "number must not be NULL",
///             docs: "Pass a number.",
///         }
///         /// It is too large.
///         TooLarge { number: u32, max: u32 } => PROGRAM_LIMIT_EXCEEDED {
///             let excess = number - max;
///             message: "{number} is more than {max}",
///             detail: "It is {excess} too large.",
///             hint: "Pass a number of at most {max}.",
///         }
///     }
/// }
/// use errors::Report;
/// let error = Wrong::TooLarge { number: 5, max: 3 };
/// assert_eq!(error.to_string(), "5 is more than 3");
/// assert_eq!(error.sqlstate().as_str(), "54000");
/// assert_eq!(error.detail().unwrap(), "It is 2 too large.");
/// assert_eq!(error.hint().unwrap(), "Pass a number of at most 3.");
/// assert_eq!(Wrong::ROWS[0].docs, Some("Pass a number."));
/// ```
#[macro_export]
macro_rules! error_table {
    (
        $(#[$meta:meta])*
        $visibility:vis enum $name:ident: $code:ty {
            $(
                $(#[$variant_meta:meta])*
                $variant:ident $({ $($(#[$field_meta:meta])* $field:ident: $type:ty),* $(,)? })? => $state:ident {
                    $(let $value:ident = $expression:expr;)*
                    message: $message:literal,
                    $(detail: $detail:literal,)?
                    $(hint: $hint:literal,)?
                    $(docs: $docs:literal,)?
                }
            )*
            $(@wrap { $($(#[$wrapped_meta:meta])* $wrapped:ident($inner:ty),)* })?
        }
    ) => {
        $(#[$meta])*
        $visibility enum $name {
            $($(#[$variant_meta])* $variant $({ $($(#[$field_meta])* $field: $type),* })?,)*
            $($($(#[$wrapped_meta])* $wrapped($inner),)*)?
        }

        impl $name {
            /// The table of these errors, wrapped ones left out.
            pub const ROWS: &[$crate::Row] = &[$($crate::Row {
                name: stringify!($variant),
                sqlstate: <$code>::$state.sqlstate(),
                message: $message,
                detail: $crate::error_table!(@optional $($detail)?),
                hint: $crate::error_table!(@optional $($hint)?),
                docs: $crate::error_table!(@optional $($docs)?),
            }),*];

            /// The code.
            pub fn code(&self) -> $code {
                match self {
                    $(Self::$variant { .. } => <$code>::$state,)*
                    $($(Self::$wrapped(error) => <$code>::from($crate::Report::sqlstate(error)),)*)?
                }
            }
        }

        impl std::fmt::Display for $name {
            #[allow(unused_variables)]
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self {
                    $(Self::$variant $({ $($field),* })? => {
                        $(let $value = $expression;)*
                        write!(f, $message)
                    })*
                    $($(Self::$wrapped(error) => std::fmt::Display::fmt(error, f),)*)?
                }
            }
        }

        impl std::error::Error for $name {}

        impl $crate::Report for $name {
            fn sqlstate(&self) -> $crate::Sqlstate {
                self.code().sqlstate()
            }

            #[allow(unused_variables)]
            fn detail(&self) -> Option<String> {
                match self {
                    $(Self::$variant $({ $($field),* })? => {
                        $(let $value = $expression;)*
                        $crate::error_table!(@format $($detail)?)
                    })*
                    $($(Self::$wrapped(error) => $crate::Report::detail(error),)*)?
                }
            }

            #[allow(unused_variables)]
            fn hint(&self) -> Option<String> {
                match self {
                    $(Self::$variant $({ $($field),* })? => {
                        $(let $value = $expression;)*
                        $crate::error_table!(@format $($hint)?)
                    })*
                    $($(Self::$wrapped(error) => $crate::Report::hint(error),)*)?
                }
            }
        }

        $($(impl From<$inner> for $name {
            fn from(error: $inner) -> Self {
                Self::$wrapped(error)
            }
        })*)?
    };
    (@format) => { None };
    (@format $text:literal) => { Some(format!($text)) };
    (@optional) => { None };
    (@optional $text:literal) => { Some($text) };
}
