//! Citus hides its shards from background workers' queries of pg_class. Here a library does, which knows Citus' setting.

use super::{LIMIT, number};
use cluster_tests::{Builder, Cluster, wait_until};
use postgres::Client;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A cluster with the library, and the folder that it lies in.
fn start(settings: impl FnOnce(Builder) -> Builder) -> (tempfile::TempDir, Cluster) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let (library, source) = (folder.path().join("hides_tables.so"), Path::new(env!("CARGO_MANIFEST_DIR")));
    let pg_config = std::env::var_os("PG_CONFIG").unwrap_or_else(|| "pg_config".into());
    let headers = output(Command::new(pg_config).arg("--includedir-server"));
    output(
        Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(&library)
            .arg(source.join("hides_tables.c"))
            .arg(format!("-I{}", headers.trim())),
    );
    let preloaded = format!("{}, clip_search", library.display());
    let cluster = settings(Cluster::builder().set("shared_preload_libraries", preloaded)).start();
    (folder, cluster)
}

fn upload(client: &mut Client) {
    client
        .batch_execute(
            "CREATE TABLE hidden (id integer PRIMARY KEY, caption text, embedding vector);
             SELECT clip_sync('hidden', 'caption', mode => 'queued');
             INSERT INTO hidden SELECT i, 'caption ' || i FROM generate_series(1, 20) AS i",
        )
        .unwrap();
}

#[test]
fn the_worker_has_shards_shown() {
    let (_folder, cluster) = start(|builder| builder);
    let mut client = cluster.connect();
    upload(&mut client);
    let done = "SELECT count(*) FROM hidden WHERE embedding = clip_embed_text(caption)";
    wait_until("the rows to be embedded", LIMIT, || number(&mut client, done) == 20);
    cluster.assert_sessions_survived();
}

/// Where it cannot, the work waits.
#[test]
fn what_is_hidden_is_not_taken_for_gone() {
    let (_folder, cluster) = start(|builder| builder.set("hides_tables.always", "on"));
    let mut client = cluster.connect();
    upload(&mut client);
    let waiting =
        "SELECT count(*) FROM clip_search_internal.clip_embed_queue WHERE deferrals > 0 AND last_error IS NOT NULL";
    wait_until("an attempt", LIMIT, || number(&mut client, waiting) > 0);
    assert_eq!(number(&mut client, "SELECT count(*) FROM clip_search_internal.clip_embed_queue"), 20);
    cluster.assert_sessions_survived();
}
