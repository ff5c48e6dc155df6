//! `clip-search-tutorial`: runs the SQL of a Markdown file through one psql session, and compares what it prints with
//! what the file shows. PGHOST, PGPORT and PGUSER name the server; scripts/tutorial makes one.
//!
//! ```text
//! document   the file: its SQL blocks, and the outputs that follow them
//! psql       one session for all blocks
//! compare    whether an output is as expected
//! images     the HTTP server of the images, and of URLs that are dead
//! captions   which images there are, as a list of URLs and captions
//! ```

mod captions;
mod compare;
mod document;
mod images;
mod psql;

use anyhow::{Context, Result};
use clap::Parser;
use clip_search_demo::emoji::FONT;
use document::Block;
use images::ImageServer;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The file that the tutorial reads with `\copy`.
const CAPTIONS: &str = "captions.csv";

/// The folder of images in the pages; a temporary one stands for it.
const IMAGE_FOLDER: &str = "/srv/images";

#[derive(Parser)]
#[command(version, about = "Runs the SQL of a Markdown file and compares what psql prints with what the file shows.")]
struct Arguments {
    /// The Markdown file.
    file: PathBuf,
    /// Folder that psql runs in: it reads its input there and leaves its output there.
    #[arg(long)]
    folder: PathBuf,
    /// Put what psql printed into the file wherever it differs.
    #[arg(long)]
    update: bool,
    /// Run none of it: open a psql in which it can be followed by hand.
    #[arg(long, conflicts_with = "update")]
    shell: bool,
    /// How to call psql.
    #[arg(long, default_value = "psql")]
    psql: String,
}

fn main() -> ExitCode {
    match tutorial(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("tutorial: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether the file shows what psql prints.
fn tutorial(arguments: &Arguments) -> Result<bool> {
    let file = arguments.file.display();
    let markdown = std::fs::read_to_string(&arguments.file).with_context(|| format!("could not read {file}"))?;
    let blocks = document::blocks(&markdown).with_context(|| format!("{file}"))?;
    let server = serve_images(&arguments.folder)?;
    let files = image_files()?;
    let real_folder = files.path().to_str().context("the folder for temporary files has a name that is not UTF-8")?;
    if arguments.shell {
        return psql::shell(&arguments.psql, &arguments.folder);
    }
    let sql: Vec<String> =
        blocks.iter().map(|block| server.to_real(&block.sql).replace(IMAGE_FOLDER, real_folder)).collect();
    let outputs = psql::run(&arguments.psql, &arguments.folder, &sql)
        .map_err(|stopped| stopped.in_file(&arguments.file, &blocks))?;
    let outputs: Vec<String> = outputs.iter().map(|output| server.to_shown(output)).collect();

    let differing: Vec<(&Block, &str)> =
        blocks.iter().zip(&outputs).map(|(block, output)| (block, output.as_str())).filter(differs).collect();
    if arguments.update {
        let updated = document::with_outputs(&markdown, &differing);
        std::fs::write(&arguments.file, updated).with_context(|| format!("could not write {file}"))?;
    }
    let mut wrong = 0;
    for (block, output) in &differing {
        if arguments.update && block.expected.is_some() {
            let what = if output.contains("ERROR:") { "updated, and shows an error" } else { "updated" };
            println!("{file}:{}: {what}", block.line);
        } else {
            report(&arguments.file, block, output);
            wrong += 1;
        }
    }
    let shown = blocks.iter().filter(|block| block.expected.is_some()).count();
    println!("{file}: {} blocks of SQL, {shown} outputs shown, {wrong} wrong", blocks.len());
    Ok(wrong == 0)
}

fn differs((block, output): &(&Block, &str)) -> bool {
    match &block.expected {
        Some(expected) => !compare::matches(&expected.text, output),
        None => !compare::needs_no_showing(output),
    }
}

fn report(file: &Path, block: &Block, output: &str) {
    let file = file.display();
    match &block.expected {
        Some(expected) => {
            let shown = format!("{file}:{}", expected.line);
            eprintln!("{}", compare::difference(&expected.text, output, &shown));
        }
        None => eprintln!("{file}:{}: this prints what the file does not show:\n{output}", block.line),
    }
}

/// The images as files that the database server can read, which runs as another user.
fn image_files() -> Result<tempfile::TempDir> {
    let mode = std::fs::Permissions::from_mode(0o755);
    let folder = tempfile::Builder::new().prefix("clip-search-images-").permissions(mode).tempdir()?;
    captions::Collection::open(Path::new(FONT))?.write(folder.path())?;
    Ok(folder)
}

/// Starts the server and writes the list of its URLs.
fn serve_images(folder: &Path) -> Result<ImageServer> {
    let collection = captions::Collection::open(Path::new(FONT))?;
    std::fs::create_dir_all(folder).with_context(|| format!("could not make {}", folder.display()))?;
    let path = folder.join(CAPTIONS);
    let csv = collection.csv();
    let server = ImageServer::start(collection)?;
    std::fs::write(&path, server.to_real(&csv)).with_context(|| format!("could not write {}", path.display()))?;
    Ok(server)
}
