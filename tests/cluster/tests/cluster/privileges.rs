//! Who may call and see what.

use cluster_tests::{Cluster, DIMENSION, counters, embed_text, refusal, wait_until};
use std::time::Duration;

fn cluster_with_roles() -> Cluster {
    let cluster = Cluster::on_demand();
    cluster
        .connect()
        .batch_execute(
            "CREATE ROLE ordinary LOGIN; CREATE ROLE monitor LOGIN; GRANT pg_monitor TO monitor;
             CREATE ROLE operator LOGIN; GRANT EXECUTE ON FUNCTION clip_restart_server() TO operator",
        )
        .unwrap();
    cluster
}

#[test]
fn everybody_embeds() {
    let cluster = cluster_with_roles();
    let mut client = cluster.connect_to("postgres", "ordinary");
    assert_eq!(embed_text(&mut client, "x").unwrap().len(), DIMENSION);
    let models = client.query("SELECT name FROM clip_models() WHERE is_default", &[]).unwrap();
    assert_eq!(models[0].get::<_, String>(0), cluster_tests::MODEL);
}

#[test]
fn status_is_for_pg_monitor() {
    let cluster = cluster_with_roles();
    let mut ordinary = cluster.connect_to("postgres", "ordinary");
    embed_text(&mut ordinary, "starts the server").unwrap();
    assert_eq!(refusal(ordinary.query("SELECT * FROM clip_stat_server", &[])).code().code(), "42501");
    let mut monitor = cluster.connect_to("postgres", "monitor");
    assert_eq!(counters(&mut monitor).pid, cluster.server().0);
}

#[test]
fn restart_is_for_whom_it_is_granted_to() {
    let cluster = cluster_with_roles();
    let mut client = cluster.connect();
    embed_text(&mut client, "x").unwrap();
    let mut old = cluster.server();
    for refused in ["ordinary", "monitor"] {
        let mut client = cluster.connect_to("postgres", refused);
        assert_eq!(refusal(client.query("SELECT clip_restart_server()", &[])).code().code(), "42501");
    }
    assert_eq!(cluster.server(), old);
    for allowed in ["postgres", "operator"] {
        let mut allowed = cluster.connect_to("postgres", allowed);
        let answer: bool = allowed.query_one("SELECT clip_restart_server()", &[]).unwrap().get(0);
        assert!(answer);
        let new = cluster.server_after(old);
        wait_until("the session sees the new server", Duration::from_secs(10), || counters(&mut client).pid == new.0);
        assert_eq!(embed_text(&mut client, "y").unwrap().len(), DIMENSION);
        old = new;
    }
    cluster.assert_sessions_survived();
}

#[test]
fn restart_without_a_supervisor() {
    let cluster = Cluster::on_demand();
    let error = refusal(cluster.connect().query("SELECT clip_restart_server()", &[]));
    assert_eq!(error.code().code(), "55000");
    assert!(error.hint().is_some());
}

#[test]
fn paths_are_hidden_from_ordinary_roles() {
    let cluster = cluster_with_roles();
    let mut client = cluster.connect_to("postgres", "ordinary");
    embed_text(&mut client, "load the library").unwrap();
    for setting in ["model_dir", "onnxruntime_library", "server_program"] {
        let error = refusal(client.query(&format!("SHOW clip_search.{setting}"), &[]));
        assert_eq!(error.code().code(), "42501", "{setting}");
    }
    let error = refusal(client.query("SELECT clip_embed_text('x', 'no/such')", &[]));
    assert!(!format!("{error:?}").contains(&*cluster.models().to_string_lossy()), "{error:?}");
}

/// Nobody but the cluster's user gets at the socket.
#[test]
fn socket_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let cluster = cluster_with_roles();
    embed_text(&mut cluster.connect(), "x").unwrap();
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&cluster.server_socket()), 0o600);
    assert_eq!(mode(cluster.server_socket().parent().unwrap()), 0o700);
}
