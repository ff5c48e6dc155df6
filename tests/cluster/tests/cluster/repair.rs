//! What is missing or wrong in an installation is named, and mended without a restart of PostgreSQL.

use cluster_tests::{Builder, Cluster, DIMENSION, embed_text, refusal, wait_until};
use postgres::error::DbError;
use std::time::Duration;

fn cluster_with(setting: &str, value: &str, preload: bool) -> (Cluster, DbError) {
    let cluster = Builder::default().preload(preload).set(setting, value).start();
    let error = refusal(embed_text(&mut cluster.connect(), "x"));
    assert_eq!(error.code().code(), "58000", "{error:?}");
    assert!(error.hint().unwrap().contains(setting), "{error:?}");
    (cluster, error)
}

fn mended(cluster: &Cluster, setting: &str) {
    cluster.reconfigure(&[(setting, "")]);
    wait_until("it works after a reload", Duration::from_secs(10), || {
        embed_text(&mut cluster.connect(), "x").is_ok_and(|vector| vector.len() == DIMENSION)
    });
    cluster.assert_sessions_survived();
}

#[test]
fn program_is_missing() {
    for preload in [true, false] {
        let (cluster, error) = cluster_with("clip_search.server_program", "/nonexistent", preload);
        assert!(error.message().contains("\"/nonexistent\"") && error.message().contains("No such file"), "{error:?}");
        mended(&cluster, "clip_search.server_program");
    }
}

#[test]
fn program_is_not_executable() {
    let cluster = Cluster::on_demand();
    let program = cluster.file("program", "#!/bin/sh\n", 0o644);
    let program = program.to_str().unwrap();
    cluster.reconfigure(&[("clip_search.server_program", program)]);
    // The supervisor is not running yet; it reads the setting when it starts.
    let mut error = None;
    wait_until("the setting takes effect", Duration::from_secs(10), || {
        error = Some(refusal(embed_text(&mut cluster.connect(), "x")));
        error.as_ref().is_some_and(|error| error.message().contains(program))
    });
    let error = error.unwrap();
    assert_eq!(error.code().code(), "58000");
    assert!(error.message().contains("Permission denied"), "{error:?}");
    mended(&cluster, "clip_search.server_program");
}

/// What the last life of the cluster could not start says nothing about this one.
#[test]
fn mended_by_a_restart() {
    let (cluster, _) = cluster_with("clip_search.server_program", "/nonexistent", false);
    cluster.alter_system(&[("clip_search.server_program", "")]);
    for _ in 0..3 {
        cluster.stop(cluster_tests::StopMode::Fast);
        cluster.start();
        assert_eq!(embed_text(&mut cluster.connect(), "x").unwrap().len(), DIMENSION);
    }
}

/// A program that starts and ends at once, again and again.
#[test]
fn program_fails() {
    let cluster = Cluster::builder().set("clip_search.start_timeout", "1s").start();
    let program = cluster.file("program", "#!/bin/sh\necho 'WARNING: out of order' >&2\nexit 7\n", 0o755);
    cluster.reconfigure(&[("clip_search.server_program", program.to_str().unwrap())]);
    wait_until("the setting takes effect", Duration::from_secs(10), || {
        let error = refusal(embed_text(&mut cluster.connect(), "x"));
        assert_eq!(error.code().code(), "08006", "{error:?}");
        assert!(error.hint().is_some());
        error.detail().is_some_and(|detail| detail.contains("exited with status 7"))
    });
    cluster.wait_for_log("clip-search-server: out of order");
    mended(&cluster, "clip_search.server_program");
}

#[test]
fn onnx_runtime_is_missing() {
    let (cluster, error) = cluster_with("clip_search.onnxruntime_library", "/nonexistent/libonnxruntime.so", false);
    assert!(error.message().contains("/nonexistent/libonnxruntime.so"), "{error:?}");
    mended(&cluster, "clip_search.onnxruntime_library");
}

#[test]
fn onnx_runtime_is_no_library() {
    let cluster = Cluster::on_demand();
    let library = cluster.file("library.so", "no library", 0o755);
    cluster.reconfigure(&[("clip_search.onnxruntime_library", library.to_str().unwrap())]);
    let mut error = None;
    wait_until("the setting takes effect", Duration::from_secs(10), || {
        error = embed_text(&mut cluster.connect(), "x").err();
        error.is_some()
    });
    let error = error.unwrap();
    assert_eq!(error.code().map(|code| code.code()), Some("58000"), "{error:?}");
    mended(&cluster, "clip_search.onnxruntime_library");
}

#[test]
fn model_files_are_damaged() {
    let cluster = Cluster::on_demand();
    let file = cluster.models().join("golden/small/onnx/text_model.onnx");
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    let error = refusal(embed_text(&mut cluster.connect(), "x"));
    assert_eq!(error.code().code(), "55000", "{error:?}");
    assert!(error.hint().is_some(), "{error:?}");
    std::fs::write(&file, &whole).unwrap();
    cluster.connect().query("SELECT clip_restart_server()", &[]).unwrap();
    wait_until("it works with the whole file", Duration::from_secs(10), || {
        embed_text(&mut cluster.connect(), "x").is_ok()
    });
    cluster.assert_sessions_survived();
}
