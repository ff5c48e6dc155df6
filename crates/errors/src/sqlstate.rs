//! SQLSTATEs, under the names that PostgreSQL's errcodes.txt has.

use std::fmt;

/// A SQLSTATE: five digits or upper-case letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sqlstate(&'static str);

macro_rules! sqlstates {
    ($($name:ident = $code:literal;)*) => {
        #[allow(missing_docs)]
        impl Sqlstate {
            $(pub const $name: Self = Self($code);)*

            /// Each that is in use, with PostgreSQL's name of its condition in upper case.
            pub const ALL: &[(&str, Self)] = &[$((stringify!($name), Self::$name)),*];
        }
    };
}

sqlstates! {
    CONNECTION_FAILURE = "08006";
    PROTOCOL_VIOLATION = "08P01";
    TRIGGERED_ACTION_EXCEPTION = "09000";
    FEATURE_NOT_SUPPORTED = "0A000";
    DATA_EXCEPTION = "22000";
    NULL_VALUE_NOT_ALLOWED = "22004";
    CHARACTER_NOT_IN_REPERTOIRE = "22021";
    INVALID_PARAMETER_VALUE = "22023";
    ARRAY_ELEMENT_ERROR = "2202E";
    INVALID_BINARY_REPRESENTATION = "22P03";
    ACTIVE_SQL_TRANSACTION = "25001";
    E_R_I_E_TRIGGER_PROTOCOL_VIOLATED = "39P01";
    T_R_SERIALIZATION_FAILURE = "40001";
    INSUFFICIENT_PRIVILEGE = "42501";
    AMBIGUOUS_COLUMN = "42702";
    UNDEFINED_COLUMN = "42703";
    UNDEFINED_OBJECT = "42704";
    DUPLICATE_OBJECT = "42710";
    DATATYPE_MISMATCH = "42804";
    WRONG_OBJECT_TYPE = "42809";
    GENERATED_ALWAYS = "428C9";
    UNDEFINED_TABLE = "42P01";
    INSUFFICIENT_RESOURCES = "53000";
    DISK_FULL = "53100";
    OUT_OF_MEMORY = "53200";
    TOO_MANY_CONNECTIONS = "53300";
    CONFIGURATION_LIMIT_EXCEEDED = "53400";
    PROGRAM_LIMIT_EXCEEDED = "54000";
    OBJECT_NOT_IN_PREREQUISITE_STATE = "55000";
    QUERY_CANCELED = "57014";
    ADMIN_SHUTDOWN = "57P01";
    SYSTEM_ERROR = "58000";
    IO_ERROR = "58030";
    INTERNAL_ERROR = "XX000";
    DATA_CORRUPTED = "XX001";
}

impl Sqlstate {
    /// Its five characters.
    pub const fn as_str(self) -> &'static str {
        self.0
    }

    /// Itself, as the classes of failure have it.
    pub const fn sqlstate(self) -> Self {
        self
    }

    /// The number that PostgreSQL packs it into: six bits a character, the first one lowest.
    pub const fn packed(self) -> i32 {
        let bytes = self.0.as_bytes();
        let (mut packed, mut at) = (0, 0);
        while at < bytes.len() {
            packed |= ((bytes[at].wrapping_sub(b'0') & 0x3f) as i32) << (6 * at);
            at += 1;
        }
        packed
    }
}

impl fmt::Display for Sqlstate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_as_postgres_does() {
        // MAKE_SQLSTATE of utils/elog.h: '5' is 5, 'P' is 32 and 'X' 40, from the lowest six bits up.
        assert_eq!(Sqlstate("00001").packed(), 1 << 24);
        assert_eq!(Sqlstate("22P03").packed(), 2 + (2 << 6) + (32 << 12) + (3 << 24));
        assert_eq!(Sqlstate::INTERNAL_ERROR.packed(), 40 + (40 << 6));
    }
}
