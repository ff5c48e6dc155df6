//! Writes the seeds of each target below a folder: `make-seeds fuzz/corpus`.

use std::error::Error;
use std::path::PathBuf;

use fuzz_targets::TARGETS;

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(std::env::args_os().nth(1).ok_or("name the folder to write to")?);
    for target in TARGETS {
        let folder = root.join(target.name);
        std::fs::create_dir_all(&folder)?;
        let seeds = (target.seeds)();
        for (name, bytes) in &seeds {
            let name = name.replace(|letter: char| !letter.is_ascii_alphanumeric() && letter != '.', "-");
            std::fs::write(folder.join(format!("seed-{name}")), bytes)?;
        }
        let bytes: usize = seeds.iter().map(|(_, bytes)| bytes.len()).sum();
        println!("{}: {} seeds, {} KiB", folder.display(), seeds.len(), bytes.div_ceil(1024));
    }
    Ok(())
}
