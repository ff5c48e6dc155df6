//! `played-hub FOLDER`: serves the models `FOLDER/<owner>/<name>` and prints the address to pass as the endpoint.

use played_hub::Hub;
use std::fs;
use std::path::Path;

fn main() {
    let Some(root) = std::env::args().nth(1) else {
        eprintln!("usage: played-hub FOLDER");
        std::process::exit(2);
    };
    let hub = Hub::start();
    for owner in folders(Path::new(&root)) {
        for name in folders(&Path::new(&root).join(&owner)) {
            let folder = Path::new(&root).join(&owner).join(&name);
            let commit = hub.publish_folder(&format!("{owner}/{name}"), &folder);
            eprintln!("{owner}/{name} at commit {commit}");
        }
    }
    println!("{}", hub.endpoint());
    loop {
        std::thread::park();
    }
}

fn folders(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let names = entries.flatten().filter(|entry| entry.path().is_dir());
    names.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}
