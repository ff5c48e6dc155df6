//! `write-jpegs FOLDER`: writes the JPEG files that Pillow is asked about, for tests/golden/make_jpegs.py.

use anyhow::{Context, Result};

fn main() -> Result<()> {
    let folder = std::env::args_os().nth(1).context("usage: write-jpegs FOLDER")?;
    for jpeg in parity::jpegs() {
        let path = std::path::Path::new(&folder).join(format!("{}.jpg", jpeg.name));
        std::fs::write(&path, jpeg.bytes).with_context(|| format!("{} cannot be written", path.display()))?;
    }
    Ok(())
}
