//! Writes `docs/errors.md`.

use std::{fs, io};

fn main() -> io::Result<()> {
    fs::write(error_table::path(), error_table::page())
}
