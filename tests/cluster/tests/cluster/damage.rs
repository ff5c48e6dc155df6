//! Files that are wrong in ways that only show later: an ONNX Runtime of long ago, a model that changes while it is in
//! memory, one that nobody may read.

use cluster_tests::{Cluster, DIMENSION, MODEL, cosine, embed_text, report, wait_until};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A library that passes for ONNX Runtime 1.10, where the server's user can read it.
fn old_runtime(cluster: &Cluster) -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let built = here.join("../../target/cluster-tests/libonnxruntime-1.10.so");
    fs::create_dir_all(built.parent().unwrap()).unwrap();
    let compiler = Command::new("cc")
        .args(["-shared", "-fPIC", "-Wall", "-Werror", "-o"])
        .arg(&built)
        .arg(here.join("old_onnxruntime.c"))
        .output()
        .expect("a C compiler, named cc");
    assert!(compiler.status.success(), "{}", String::from_utf8_lossy(&compiler.stderr));
    let library = cluster.file("libonnxruntime.so", "", 0o755);
    fs::copy(&built, &library).unwrap();
    library
}

#[test]
fn onnx_runtime_is_too_old() {
    let cluster = Cluster::on_demand();
    let library = old_runtime(&cluster);
    let library = library.to_str().unwrap();
    embed_text(&mut cluster.connect(), "before").unwrap();
    let old = cluster.server();
    cluster.reconfigure(&[("clip_search.onnxruntime_library", library)]);
    // Another library takes another process.
    let server = cluster.server_after(old);
    let expected = format!(
        "58000: ONNX Runtime library {library} cannot be used: it is ONNX Runtime 1.10.0, at least 1.24 is needed\n\
         HINT: Run make install, or set clip_search.onnxruntime_library to the path of libonnxruntime.so."
    );
    for _ in 0..2 {
        assert_eq!(report(embed_text(&mut cluster.connect(), "x")), expected);
    }
    assert_eq!(cluster.server(), server, "it only says so");
    cluster.reconfigure(&[("clip_search.onnxruntime_library", "")]);
    wait_until("it works with the right library", Duration::from_secs(10), || {
        embed_text(&mut cluster.connect(), "x").is_ok_and(|vector| vector.len() == DIMENSION)
    });
    assert!(!cluster.log().contains("was terminated by signal"));
    cluster.assert_sessions_survived();
}

/// A cluster whose server remembers no texts, with a model in memory; a session of its own for each text, since those
/// remember theirs.
fn cluster_with_model_loaded() -> (Cluster, PathBuf, Vec<f32>) {
    let cluster = Cluster::builder().set("clip_search.text_cache_size", 0).start();
    let vector = embed_text(&mut cluster.connect(), "a red apple").unwrap();
    let file = cluster.models().join(MODEL).join("onnx/text_model.onnx");
    (cluster, file, vector)
}

fn restart_server(cluster: &Cluster) {
    cluster.connect().query("SELECT clip_restart_server()", &[]).unwrap();
}

#[test]
fn model_is_replaced_while_in_memory() {
    let (cluster, file, before) = cluster_with_model_loaded();
    let server = cluster.server();
    // Into the same file, which is worse than a new file of the same name.
    fs::copy(file.with_file_name("text_model_fp16.onnx"), &file).unwrap();
    for _ in 0..3 {
        assert_eq!(embed_text(&mut cluster.connect(), "a red apple").unwrap(), before);
    }
    assert_eq!(cluster.server(), server);
    restart_server(&cluster);
    let after = embed_text(&mut cluster.connect(), "a red apple").unwrap();
    assert!(after != before && cosine(&before, &after) > 0.999);
    cluster.assert_sessions_survived();
}

#[test]
fn model_is_cut_short_while_in_memory() {
    let (cluster, file, before) = cluster_with_model_loaded();
    let server = cluster.server();
    let whole = fs::read(&file).unwrap();
    fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    for _ in 0..3 {
        assert_eq!(embed_text(&mut cluster.connect(), "a red apple").unwrap(), before);
    }
    assert_eq!(cluster.server(), server, "it has all it needs");
    restart_server(&cluster);
    assert_eq!(
        report(embed_text(&mut cluster.connect(), "a red apple")),
        "55000: onnx/text_model.onnx of model \"golden/small\" cannot be used: \
         Load model from onnx/text_model.onnx failed:Protobuf parsing failed.\n\
         HINT: Download the model again, with all of its files."
    );
    // Without another restart: failures are not remembered.
    fs::write(&file, &whole).unwrap();
    assert_eq!(embed_text(&mut cluster.connect(), "a red apple").unwrap(), before);
    cluster.assert_sessions_survived();
}

/// The server is not root, even where the tests are.
fn not_readable(name: &str, said: &str) {
    let cluster = Cluster::on_demand();
    let file = cluster.models().join(MODEL).join(name);
    fs::set_permissions(&file, Permissions::from_mode(0o000)).unwrap();
    assert_eq!(report(embed_text(&mut cluster.connect(), "x")), said);
    fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    assert_eq!(embed_text(&mut cluster.connect(), "x").unwrap().len(), DIMENSION);
    cluster.assert_sessions_survived();
}

#[test]
fn model_is_not_readable() {
    not_readable(
        "onnx/text_model.onnx",
        "55000: onnx/text_model.onnx of model \"golden/small\" cannot be used: \
         Permission denied (os error 13)\n\
         HINT: Make the model's files readable for the user that PostgreSQL runs as; where links lead to another folder, \
         run SELECT clip_restart_server() as a superuser.",
    );
}

#[test]
fn config_is_not_readable() {
    not_readable(
        "config.json",
        "55000: config.json of model \"golden/small\" cannot be used: Permission denied (os error 13)\n\
         HINT: Make the model's files readable for the user that PostgreSQL runs as; where links lead to another folder, \
         run SELECT clip_restart_server() as a superuser.",
    );
}
