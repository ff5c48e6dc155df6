//! The socket: another release's server, strangers, a file that somebody removes.

use cluster_tests::{Cluster, DIMENSION, Process, counters, embed_text, refusal, report, wait_until};
use protocol::{Hello, Kind, SocketPaths};
use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;
use std::time::Duration;

/// Listens where the server should, and greets as if it were of another release.
fn impostor(cluster: &Cluster, hello: Hello) {
    let socket = cluster.server_socket();
    let _ = fs::remove_file(&socket);
    let listener = UnixListener::bind(&socket).unwrap();
    fs::set_permissions(&socket, Permissions::from_mode(0o777)).unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = stream.write_all(&protocol::encode(Kind::Hello, &hello).unwrap());
        }
    });
}

/// A cluster whose supervisor minds a program that only sleeps.
fn cluster_with_impostor(hello: Hello) -> Cluster {
    let cluster = Cluster::builder().set("clip_search.start_timeout", "200ms").start();
    let program = cluster.file("program", "#!/bin/sh\nexec sleep 1000 # $*\n", 0o755);
    cluster.reconfigure(&[("clip_search.server_program", program.to_str().unwrap())]);
    wait_until("the supervisor has started the program", Duration::from_secs(10), || {
        let error = refusal(embed_text(&mut cluster.connect(), "x"));
        assert_eq!(error.code().code(), "08006", "{error:?}");
        cluster.log().contains("started clip-search-server") && cluster.data().join(SocketPaths::DIRECTORY).exists()
    });
    impostor(&cluster, hello);
    cluster.reconfigure(&[("clip_search.server_program", ""), ("clip_search.start_timeout", "20s")]);
    cluster
}

fn mismatch(hello: Hello) {
    let cluster = cluster_with_impostor(hello);
    let mut client = cluster.connect();
    assert_eq!(
        report(embed_text(&mut client, "x")),
        format!(
            "55000: clip-search-server is of release 0.0.7, this session's library of {}\n\
             HINT: After an upgrade, run SELECT clip_restart_server() as a superuser, and reconnect sessions that are \
             older than the upgrade; with clip_search in shared_preload_libraries, restart PostgreSQL.",
            protocol::RELEASE
        )
    );
    // The hint works, in the same session.
    client.query("SELECT clip_restart_server()", &[]).unwrap();
    wait_until("the session gets an answer", Duration::from_secs(10), || embed_text(&mut client, "x").is_ok());
    cluster.assert_sessions_survived();
}

#[test]
fn server_of_another_release() {
    mismatch(Hello { protocol: protocol::VERSION, release: "0.0.7".to_owned(), pid: 1 });
}

#[test]
fn server_of_another_protocol() {
    mismatch(Hello { protocol: protocol::VERSION + 1, release: "0.0.7".to_owned(), pid: 1 });
}

/// The library of a queue's worker may be the one from before an upgrade.
#[test]
fn a_worker_makes_way_for_one_with_another_library() {
    let cluster = cluster_with_impostor(Hello { protocol: protocol::VERSION, release: "0.0.7".to_owned(), pid: 1 });
    let mut client = cluster.connect();
    client
        .batch_execute(
            "CREATE TABLE captions (id integer PRIMARY KEY, caption text, embedding vector);
             CREATE TRIGGER later AFTER INSERT ON captions FOR EACH ROW EXECUTE FUNCTION clip_enqueue_trigger('caption', 'embedding');
             INSERT INTO captions VALUES (1, 'a dog')",
        )
        .unwrap();
    let mut workers = BTreeSet::new();
    wait_until("another worker", Duration::from_secs(60), || {
        let query = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'clip_search worker'";
        workers.extend(client.query(query, &[]).unwrap().iter().map(|row| row.get::<_, i32>(0)));
        workers.len() > 1
    });
    client.query("SELECT clip_restart_server()", &[]).unwrap();
    wait_until("the row is embedded", Duration::from_secs(60), || {
        client.query_one("SELECT embedding IS NOT NULL FROM captions", &[]).unwrap().get(0)
    });
    cluster.assert_sessions_survived();
}

#[test]
fn malformed_connections_harm_only_themselves() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    embed_text(&mut client, "warm").unwrap();
    let server = cluster.server();
    let long = [b"CLIP".as_slice(), &[1, 0, 2, 0, 255, 255, 255, 255]].concat();
    let short = [b"CLIP".as_slice(), &[1, 0, 2, 0, 100, 0, 0, 0], b"too little"].concat();
    let wrong_kind = [b"CLIP".as_slice(), &[1, 0, 3, 0, 0, 0, 0, 0]].concat();
    let garbage = [b"CLIP".as_slice(), &[1, 0, 2, 0, 4, 0, 0, 0], &[255; 4]].concat();
    for (what, bytes) in [
        ("HTTP", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
        ("a length over the limit", long),
        ("a payload that breaks off", short),
        ("a response", wrong_kind),
        ("a payload that is none", garbage),
        ("nothing", Vec::new()),
    ] {
        let mut stream = UnixStream::connect(cluster.server_socket()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        // The server may have closed its end already.
        let _ = stream.write_all(&bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        if let Err(error) = stream.read_to_end(&mut answer) {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{what}: not closed: {error}");
        }
        assert_eq!(embed_text(&mut client, what).unwrap().len(), DIMENSION, "{what}");
    }
    wait_until("their connections are gone", Duration::from_secs(10), || counters(&mut client).connections == 1);
    assert_eq!(cluster.server(), server);
    cluster.assert_sessions_survived();
}

/// Connections that say nothing keep nobody else out.
#[test]
fn silent_connections() {
    let cluster = Cluster::on_demand();
    embed_text(&mut cluster.connect(), "warm").unwrap();
    let silent: Vec<_> = (0..200).map(|_| UnixStream::connect(cluster.server_socket()).unwrap()).collect();
    assert_eq!(embed_text(&mut cluster.connect(), "x").unwrap().len(), DIMENSION);
    drop(silent);
}

/// Old sessions go on; a new one works, or is told to call a function that helps.
#[test]
fn socket_file_is_removed() {
    let cluster = Cluster::builder().set("clip_search.start_timeout", "20s").start();
    let mut old = cluster.connect();
    embed_text(&mut old, "warm").unwrap();
    fs::remove_file(cluster.server_socket()).unwrap();
    assert_eq!(embed_text(&mut old, "the old session").unwrap().len(), DIMENSION);
    let mut new = cluster.connect();
    if let Err(error) = embed_text(&mut new, "a new session") {
        let hint = error.as_db_error().and_then(|error| error.hint()).unwrap_or_default();
        assert!(hint.contains("clip_restart_server()"), "the hint does not help: {error:?}");
        old.query("SELECT clip_restart_server()", &[]).unwrap();
        assert_eq!(embed_text(&mut new, "a new session").unwrap().len(), DIMENSION);
    }
    cluster.assert_sessions_survived();
}

/// The folder goes too, with the lock in it.
#[test]
fn socket_folder_is_removed() {
    let cluster = Cluster::builder().set("clip_search.start_timeout", "20s").start();
    embed_text(&mut cluster.connect(), "warm").unwrap();
    fs::remove_dir_all(cluster.data().join(SocketPaths::DIRECTORY)).unwrap();
    assert_eq!(embed_text(&mut cluster.connect(), "a new session").unwrap().len(), DIMENSION);
    let servers: Vec<Process> = cluster.servers();
    assert!(servers.len() <= 2, "{servers:?}");
    cluster.assert_sessions_survived();
}
