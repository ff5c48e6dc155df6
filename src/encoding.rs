//! The database's encoding, and messages in it.

use pgrx::pg_sys;

/// Of `UTF8`.
pub const UTF8: i32 = pg_sys::pg_enc::PG_UTF8 as i32;
/// Of `SQL_ASCII`: bytes of unknown encoding.
pub const SQL_ASCII: i32 = pg_sys::pg_enc::PG_SQL_ASCII as i32;

/// The database's encoding.
pub fn encoding() -> i32 {
    // SAFETY: a number of this process's.
    unsafe { pg_sys::GetDatabaseEncoding() }
}

/// A text of ours, or of some web server, for people: where the database's encoding is not UTF-8, in ASCII, so that
/// every encoding can write it. Other characters are spelled as in SQL's `E'\u00e9'`: they may be somebody's names.
pub fn for_message(text: String) -> String {
    if encoding() == UTF8 {
        return text;
    }
    let ascii = |character: char| match character {
        '…' => "...".to_owned(),
        '\0'..='\x7f' => character.to_string(),
        '\u{80}'..='\u{ffff}' => format!("\\u{:04x}", u32::from(character)),
        _ => format!("\\U{:08x}", u32::from(character)),
    };
    text.chars().map(ascii).collect()
}
