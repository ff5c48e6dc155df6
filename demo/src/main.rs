//! `clip-search-demo`: what `make demo` runs, once a server of its own is up (PGHOST, PGPORT and PGUSER name it).

use anyhow::{Context, Result};
use clap::Parser;
use clip_search_demo::emoji::{EmojiSource, FONT};
use clip_search_demo::folder::FolderSource;
use clip_search_demo::progress::counted;
use clip_search_demo::queries::{self, Query};
use clip_search_demo::search::{Answer, search};
use clip_search_demo::session::{self, Server};
use clip_search_demo::source::Source;
use clip_search_demo::{gallery, loading, report};
use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Parser)]
#[command(version, about = "Loads images into PostgreSQL, searches them with clip_search, and writes a gallery.")]
struct Arguments {
    /// Model to search with, as OWNER/NAME.
    #[arg(long, default_value = "clip-search/emoji")]
    model: String,
    /// Folder of images; without it, the emoji of the font Noto Color Emoji.
    #[arg(long)]
    images: Option<PathBuf>,
    /// File with one query on each line: a text, "image: NAME", or "all: TEXT".
    #[arg(long)]
    queries: Option<PathBuf>,
    /// File to write the gallery to.
    #[arg(long)]
    gallery: PathBuf,
    /// How to call psql in the line to go on by hand.
    #[arg(long, default_value = "psql")]
    psql: String,
}

fn main() -> ExitCode {
    match demo(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn demo(arguments: &Arguments) -> Result<()> {
    let server = Server::from_environment()?;
    let queries = queries_of(arguments)?;
    let source = source_of(arguments)?;
    let database = database_of(arguments);

    let mut client = session::open(&server, &database, &arguments.model)?;
    let model = session::find_model(&mut client, &arguments.model)?;
    report::step(
        "model",
        &format!(
            "{}: {} dimensions, sees {} pixels, {}, device {}",
            model.name, model.dimension, model.image_size, model.precision, model.device
        ),
    );
    loading::prepare_table(&mut client, &model)?;
    let found = source.items().len();
    report::step("found", &format!("{}: {}", counted(found, "image", "images"), source.title()));
    let loaded = loading::load(&mut client, source.as_ref())?;
    report::skipped(&loaded.skipped);
    report::step("table", &loaded.to_string());
    anyhow::ensure!(loaded.total > 0, "none of the images could be embedded; see above");
    report::step("index", &loading::index(&mut client, &model)?.to_string());
    println!();

    let mut answers = Vec::new();
    for query in &queries {
        match search(&mut client, query)? {
            Some(answer) => {
                println!("{}", report::table(&answer));
                answers.push(answer);
            }
            None => println!("{query}: there is no such image\n"),
        }
    }

    let psql = server.psql_line(&arguments.psql, &database);
    let about = gallery::About { model: model.name, source: source.title(), images: loaded.total, psql };
    let images = loading::images(&mut client, &ids(&answers))?;
    write(&arguments.gallery, &gallery::page(&about, &answers, &images))?;
    report::step("gallery", &arguments.gallery.display().to_string());
    report::step("go on", &about.psql);
    report::step("explore", &explore_line(&database));
    report::step("remove", "make clean-demo");
    Ok(())
}

/// How to search on a page; the script knows the demo's own database.
fn explore_line(database: &str) -> String {
    if database == "demo" { "make explore".to_owned() } else { format!("make explore DATABASE={database}") }
}

fn source_of(arguments: &Arguments) -> Result<Box<dyn Source>> {
    Ok(match &arguments.images {
        Some(folder) => Box::new(FolderSource::open(folder)?),
        None => Box::new(EmojiSource::open(Path::new(FONT))?),
    })
}

fn queries_of(arguments: &Arguments) -> Result<Vec<Query>> {
    match (&arguments.queries, &arguments.images) {
        (Some(file), _) => queries::from_file(file),
        (None, Some(_)) => Ok(queries::for_photographs()),
        (None, None) => Ok(queries::for_emoji()),
    }
}

/// A database for each model and folder, so that going back to one finds it as it was.
fn database_of(arguments: &Arguments) -> String {
    let Some(folder) = &arguments.images else {
        return match arguments.model.as_str() {
            "clip-search/emoji" => "demo".to_owned(),
            model => format!("demo_{:08x}", hash(&model)),
        };
    };
    format!("demo_{:08x}", hash(&(&arguments.model, folder.canonicalize().unwrap_or_else(|_| folder.clone()))))
}

fn hash(of: &impl Hash) -> u32 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish() as u32
}

/// Rows whose images the gallery shows.
fn ids(answers: &[Answer]) -> Vec<i64> {
    let hits = answers.iter().flat_map(|answer| answer.image.iter().chain(&answer.hits));
    hits.map(|hit| hit.id).collect::<BTreeSet<_>>().into_iter().collect()
}

/// Replaces the file whole, so that a browser never reads half of it.
fn write(path: &Path, page: &str) -> Result<()> {
    let draft = path.with_extension("new");
    std::fs::write(&draft, page)
        .and_then(|()| std::fs::rename(&draft, path))
        .with_context(|| format!("could not write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(more: &[&str]) -> Arguments {
        Arguments::parse_from([&["demo", "--gallery", "g.html"], more].concat())
    }

    #[test]
    fn each_model_and_folder_has_its_database() {
        assert_eq!(database_of(&arguments(&[])), "demo");
        let folder = |path| database_of(&arguments(&["--images", path]));
        assert_eq!(folder("/"), folder("/../"));
        assert_ne!(folder("/usr"), folder("/etc"));
        assert_ne!(folder("/usr"), database_of(&arguments(&["--images", "/usr", "--model", "a/b"])));
        assert!(folder("/usr").len() <= 63);
    }
}
