//! Rows that others update, statements that are cancelled, servers that are killed, and parallel workers.

use super::fuzz::{difference, fill, rows};
use cluster_tests::{Cluster, backend_pid, counters, explain, refusal, wait_out_cancel, wait_until};
use postgres::NoTls;
use std::thread;
use std::time::Duration;

const UPDATE: &str = "UPDATE images SET made = clip_embed_text(caption || ' of ' || id)";

fn cluster_with_images() -> Cluster {
    let cluster = Cluster::on_demand();
    fill(&mut cluster.connect());
    cluster
}

/// Rows whose vector is not that of their caption, asked for one by one, by a session that remembers none of them.
fn wrong(cluster: &Cluster) -> i64 {
    let mut client = cluster.connect();
    client
        .batch_execute("SET clip_search.enable_batch_scan = off")
        .and_then(|()| {
            client.query_one(
                "SELECT count(*) FROM images
                  WHERE (made IS NULL) <> (caption IS NULL) OR made <=> clip_embed_text(caption || ' of ' || id) > 0.0001",
                &[],
            )
        })
        .unwrap()
        .get(0)
}

/// The row that somebody else changed is evaluated anew, and no other.
#[test]
fn rows_that_others_update_meanwhile() {
    const SELECT: &str = "SELECT id, caption, clip_embed_text(caption || ' of ' || id) FROM images";
    let locked = format!("{SELECT} FOR UPDATE");
    let cluster = cluster_with_images();
    for statement in [UPDATE, &locked] {
        let mut other = cluster.connect();
        other.batch_execute("BEGIN; UPDATE images SET caption = 'changed' WHERE id IN (50, 100)").unwrap();
        let mut client = cluster.connect();
        assert!(explain(&mut client, statement).contains("ClipEmbed"));
        let backend = backend_pid(&mut client);
        let own = statement.to_owned();
        let update = thread::spawn(move || rows(&mut client, &own));
        let query = "SELECT FROM pg_stat_activity WHERE pid = $1 AND wait_event_type = 'Lock'";
        let mut witness = cluster.connect();
        wait_until("it waits for the row", Duration::from_secs(20), || {
            !witness.query(query, &[&backend]).unwrap().is_empty()
        });
        other.batch_execute("COMMIT").unwrap();
        let mut found = update.join().unwrap().unwrap();
        if statement == UPDATE {
            assert_eq!(wrong(&cluster), 0);
            continue;
        }
        let mut one_by_one = cluster.connect();
        one_by_one.batch_execute("SET clip_search.enable_batch_scan = off").unwrap();
        let mut expected = rows(&mut one_by_one, SELECT).unwrap();
        let number = |row: &Vec<Option<String>>| row[0].as_ref().unwrap().parse::<i32>().unwrap();
        found.sort_by_key(number);
        expected.sort_by_key(number);
        assert_eq!(found.len(), 120);
        assert_eq!(difference(&expected, &found), None);
        assert!(found.iter().filter(|row| row[1].as_deref() == Some("changed")).count() == 2);
    }
    cluster.assert_sessions_survived();
}

#[test]
fn cancelled_while_a_batch_is_under_way() {
    let cluster = cluster_with_images();
    let mut client = cluster.connect();
    cluster_tests::embed_text(&mut client, "connect").unwrap();
    let server = cluster.server();
    server.freeze();
    let (backend, token) = (backend_pid(&mut client), client.cancel_token());
    let update = thread::spawn(move || {
        let result = client.simple_query(UPDATE);
        (client, result.map(|_| ()))
    });
    cluster.wait_for_waiting(backend);
    token.cancel_query(NoTls).unwrap();
    let (mut client, result) = update.join().unwrap();
    assert_eq!(refusal(result).code().code(), "57014");
    wait_out_cancel(&mut client);
    server.thaw();
    client.simple_query(UPDATE).unwrap();
    assert_eq!(wrong(&cluster), 0);
    cluster.assert_sessions_survived();
}

/// Connections of a process, whatever they are to.
fn sockets(backend: i32) -> usize {
    let descriptors = std::fs::read_dir(format!("/proc/{backend}/fd")).unwrap();
    let targets = descriptors.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count()
}

/// Until the server has answered, there is no second batch beside the first: each might be waited for in vain.
#[test]
fn one_batch_until_the_server_has_answered() {
    let cluster = cluster_with_images();
    let mut client = cluster.connect();
    cluster_tests::embed_text(&mut client, "connect").unwrap();
    client.batch_execute("SET clip_search.batch_memory = 64").unwrap();
    let (backend, token) = (backend_pid(&mut client), client.cancel_token());
    let connected = sockets(backend);
    let server = cluster.server();
    server.freeze();
    let update = thread::spawn(move || {
        let result = client.simple_query(UPDATE).map(|_| ());
        (client, result)
    });
    cluster.wait_for_waiting(backend);
    let waiting = sockets(backend);
    token.cancel_query(NoTls).unwrap();
    let (mut client, result) = update.join().unwrap();
    assert_eq!(refusal(result).code().code(), "57014");
    wait_out_cancel(&mut client);
    server.thaw();
    assert_eq!(waiting, connected);
    // Then there are two at a time.
    client.simple_query(UPDATE).unwrap();
    assert_eq!(sockets(backend), connected + 1);
    cluster.assert_sessions_survived();
}

/// The batches are sent again to the next server.
#[test]
fn server_killed_while_batches_are_under_way() {
    let cluster = cluster_with_images();
    let mut client = cluster.connect();
    cluster_tests::embed_text(&mut client, "connect").unwrap();
    client.batch_execute("SET clip_search.batch_memory = 64").unwrap();
    let server = cluster.server();
    server.freeze();
    let backend = backend_pid(&mut client);
    let update = thread::spawn(move || client.simple_query(UPDATE).map(|_| client));
    cluster.wait_for_waiting(backend);
    server.kill();
    update.join().unwrap().unwrap();
    assert_eq!(wrong(&cluster), 0);
    cluster.assert_sessions_survived();
}

/// What the old server gave is forgotten, also of batches that are under way.
#[test]
fn server_restarted_while_batches_are_under_way() {
    let cluster = cluster_with_images();
    let mut client = cluster.connect();
    cluster_tests::embed_text(&mut client, "before").unwrap();
    let statement = thread::spawn(move || {
        let slowly = "CREATE TABLE slow AS SELECT t.id || w.word AS text, pg_sleep(0.002)::text, clip_embed_text(t.id || w.word) AS made
            FROM images t, words w WHERE w.id <= 10";
        client.batch_execute(slowly).unwrap();
        client
    });
    let mut witness = cluster.connect();
    wait_until("batches are under way", Duration::from_secs(20), || counters(&mut witness).texts > 256);
    witness.batch_execute("SELECT clip_restart_server()").unwrap();
    let mut client = statement.join().unwrap();
    // The rows of two batches, which the old server may have answered, are asked for once more, one by one.
    let texts = counters(&mut witness).texts;
    assert!((600..=1200 + 2 * 256).contains(&texts), "{texts}");
    let wrong = "SELECT count(*) FROM slow WHERE (made <=> clip_embed_text(text) < 0.0001) IS NOT TRUE";
    client.batch_execute("SET clip_search.enable_batch_scan = off").unwrap();
    assert_eq!(client.query_one(wrong, &[]).unwrap().get::<_, i64>(0), 0);
}

/// Where a batch takes longer than a request may, rows have a request each, as without batches.
#[test]
fn batch_that_is_not_answered_in_time() {
    let cluster = cluster_with_images();
    let mut client = cluster.connect();
    cluster_tests::embed_text(&mut client, "connect").unwrap();
    let server = cluster.server();
    server.freeze();
    client.batch_execute("SET clip_search.request_timeout = 200").unwrap();
    let said = refusal(client.simple_query(UPDATE).map(|_| ()));
    assert_eq!(said.code().code(), "53000", "{said:?}");
    server.thaw();
    client.batch_execute("RESET clip_search.request_timeout").unwrap();
    client.simple_query(UPDATE).unwrap();
    assert_eq!(wrong(&cluster), 0);
}

/// Workers batch, too, each for itself.
#[test]
fn parallel_workers_batch() {
    let cluster = cluster_with_images();
    let mut client = cluster.connect();
    client
        .batch_execute(
            "ALTER TABLE images SET (parallel_workers = 2);
             SET min_parallel_table_scan_size = 0; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0",
        )
        .unwrap();
    for leader in ["on", "off"] {
        client.batch_execute(&format!("SET parallel_leader_participation = {leader}")).unwrap();
        for (query, limit) in [
            ("SELECT id, clip_embed_text(caption) FROM images", 120),
            ("SELECT id, clip_embed_text(caption) FROM images ORDER BY id LIMIT 50", 50),
        ] {
            let plan = explain(&mut client, query);
            let gather = plan.find("Gather").expect("in parallel");
            assert!(plan[gather..].contains("ClipEmbed"), "{plan}");
            let analyzed = explain(&mut client, &format!("(ANALYZE) {query}"));
            assert!(analyzed.contains("Workers Launched: 2"), "{analyzed}");
            let sql = format!(
                "SELECT count(*), count(*) FILTER (WHERE a.v <=> clip_embed_text(p.caption) > 0.0001) FROM ({query}) AS a(id, v) JOIN images p USING (id)"
            );
            let row = client.query_one(&sql, &[]).unwrap();
            assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (limit, 0), "{query}");
        }
    }
    cluster.assert_sessions_survived();
}
