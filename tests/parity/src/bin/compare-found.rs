//! `compare-found FOLDER`: compares the images that tests/golden/find_images.py has found with what Pillow makes of them.

use anyhow::{Context, Result};

fn main() -> Result<()> {
    let folder = std::env::args_os().nth(1).context("usage: compare-found FOLDER")?;
    print!("{}", parity::compare_found(folder.as_ref())?);
    Ok(())
}
