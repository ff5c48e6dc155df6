//! A backend that waits for the server can be cancelled, timed out, terminated and left.

use cluster_tests::{
    Cluster, DIMENSION, Process, Request, backend_pid, counters, embed_text, refusal, wait_out_cancel, wait_until,
};
use postgres::error::DbError;
use postgres::{Client, NoTls};
use std::time::{Duration, Instant};

/// The generous bound of what should be immediate.
const SOON: Duration = Duration::from_secs(20);

/// A server that stands still, so that no answer ever comes.
fn frozen(cluster: &Cluster) -> Process {
    embed_text(&mut cluster.connect(), "warm").unwrap();
    let server = cluster.server();
    server.freeze();
    server
}

/// Asks, and waits until the backend waits.
fn ask(cluster: &Cluster, client: Client) -> Request {
    Request::waiting(cluster, client, "never answered")
}

fn refused_soon(request: Request, since: Instant) -> (Client, DbError) {
    let (client, result) = request.join();
    let error = refusal(result);
    assert!(since.elapsed() < SOON, "{:?}", since.elapsed());
    (client, error)
}

fn works_after(cluster: &Cluster, server: Process, client: &mut Client) {
    server.thaw();
    wait_out_cancel(client);
    assert_eq!(embed_text(client, "the same session").unwrap().len(), DIMENSION);
    assert_eq!(embed_text(&mut cluster.connect(), "another session").unwrap().len(), DIMENSION);
    assert_eq!(cluster.server(), server);
    cluster.assert_sessions_survived();
}

#[test]
fn cancelled_before_the_greeting() {
    let cluster = Cluster::on_demand();
    let server = frozen(&cluster);
    let client = cluster.connect();
    let token = client.cancel_token();
    let request = ask(&cluster, client);
    let since = Instant::now();
    token.cancel_query(NoTls).unwrap();
    let (mut client, error) = refused_soon(request, since);
    assert_eq!(error.code().code(), "57014");
    works_after(&cluster, server, &mut client);
}

#[test]
fn cancelled_while_waiting_for_the_answer() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    embed_text(&mut client, "connect").unwrap();
    let server = frozen(&cluster);
    let token = client.cancel_token();
    let request = ask(&cluster, client);
    let since = Instant::now();
    token.cancel_query(NoTls).unwrap();
    let (mut client, error) = refused_soon(request, since);
    assert_eq!(error.code().code(), "57014");
    works_after(&cluster, server, &mut client);
}

/// More than the socket holds, so the backend is cancelled while it sends.
#[test]
fn cancelled_while_sending() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    embed_text(&mut client, "connect").unwrap();
    let server = frozen(&cluster);
    let backend = backend_pid(&mut client);
    let token = client.cancel_token();
    let request = Request::image(client, vec![0; 20 << 20]);
    cluster.wait_for_waiting(backend);
    let since = Instant::now();
    token.cancel_query(NoTls).unwrap();
    let (mut client, error) = refused_soon(request, since);
    assert_eq!(error.code().code(), "57014");
    works_after(&cluster, server, &mut client);
}

#[test]
fn statement_timeout_ends_the_wait() {
    let cluster = Cluster::on_demand();
    let server = frozen(&cluster);
    let mut client = cluster.connect();
    client.batch_execute("SET statement_timeout = '500ms'").unwrap();
    let since = Instant::now();
    let error = refusal(embed_text(&mut client, "never answered"));
    assert_eq!(error.code().code(), "57014");
    assert!(since.elapsed() < SOON + Duration::from_millis(500), "{:?}", since.elapsed());
    client.batch_execute("RESET statement_timeout").unwrap();
    works_after(&cluster, server, &mut client);
}

#[test]
fn request_timeout_is_an_error_of_its_own() {
    let cluster = Cluster::on_demand();
    let mut connected = cluster.connect();
    embed_text(&mut connected, "connect").unwrap();
    let server = frozen(&cluster);
    let mut fresh = cluster.connect();
    for client in [&mut connected, &mut fresh] {
        client.batch_execute("SET clip_search.request_timeout = '300ms'").unwrap();
        let since = Instant::now();
        let error = refusal(embed_text(client, "never answered"));
        assert_eq!(error.code().code(), "53000", "{error:?}");
        assert!(error.hint().unwrap().contains("clip_search.request_timeout"), "{error:?}");
        assert!(since.elapsed() < SOON + Duration::from_millis(300), "{:?}", since.elapsed());
        client.batch_execute("RESET clip_search.request_timeout").unwrap();
    }
    works_after(&cluster, server, &mut connected);
}

/// An error inside a subtransaction leaves the session usable.
#[test]
fn cancelled_inside_a_savepoint() {
    let cluster = Cluster::on_demand();
    let server = frozen(&cluster);
    let mut client = cluster.connect();
    client
        .batch_execute(
            "SET clip_search.request_timeout = '200ms';
             DO $$ BEGIN PERFORM clip_embed_text('never answered');
             EXCEPTION WHEN insufficient_resources THEN NULL; END $$;
             RESET clip_search.request_timeout",
        )
        .unwrap();
    works_after(&cluster, server, &mut client);
}

#[test]
fn terminated_backend_leaves() {
    let cluster = Cluster::on_demand();
    let server = frozen(&cluster);
    let mut client = cluster.connect();
    let backend = backend_pid(&mut client);
    let request = ask(&cluster, client);
    let since = Instant::now();
    cluster.connect().execute("SELECT pg_terminate_backend($1)", &[&backend]).unwrap();
    // The driver may see the end of the connection before the reason.
    let (_, result) = request.join();
    assert!(result.is_err() && since.elapsed() < SOON, "{result:?}");
    cluster.wait_for_log("FATAL:  terminating connection due to administrator command");
    wait_until("the backend is gone", SOON, || !Process(backend).runs());
    works_after(&cluster, server, &mut cluster.connect());
}

/// A client that is gone: its backend leaves even while the server stands still, where Postgres is told to look.
#[test]
fn client_that_disconnects() {
    let cluster = Cluster::builder().set("client_connection_check_interval", "100ms").start();
    let server = frozen(&cluster);
    let mut client =
        cluster.psql().env("PGAPPNAME", "doomed").args(["-c", "SELECT clip_embed_text('never')"]).spawn().unwrap();
    let mut witness = cluster.connect();
    let mut backend = None;
    wait_until("psql has connected", Duration::from_secs(10), || {
        let rows = witness.query("SELECT pid FROM pg_stat_activity WHERE application_name = 'doomed'", &[]).unwrap();
        backend = rows.first().map(|row| row.get::<_, i32>(0));
        backend.is_some()
    });
    let backend = backend.unwrap();
    cluster.wait_for_waiting(backend);
    client.kill().unwrap();
    client.wait().unwrap();
    wait_until("the backend is gone", SOON, || !Process(backend).runs());
    works_after(&cluster, server, &mut cluster.connect());
}

/// The server gives up what nobody waits for, and keeps no connection of those who left.
#[test]
fn server_forgets_who_has_left() {
    let cluster = Cluster::on_demand();
    let server = frozen(&cluster);
    for _ in 0..10 {
        let mut client = cluster.connect();
        client.batch_execute("SET statement_timeout = '100ms'").unwrap();
        assert_eq!(refusal(embed_text(&mut client, "never answered")).code().code(), "57014");
    }
    server.thaw();
    let mut witness = cluster.connect();
    wait_until("only the witness is connected", Duration::from_secs(10), || counters(&mut witness).connections == 1);
}
