//! Rows that others update, statements that are cancelled, servers that are killed, and how much is read and kept.

use super::fuzz::fill;
use cluster_tests::{Cluster, Process, backend_pid, bits, counters, explain, refusal, wait_until};
use postgres::{Client, NoTls};
use std::thread;
use std::time::Duration;

const UPDATE: &str = "UPDATE pictures SET made = clip_embed_text(caption || ' of ' || id)";

fn cluster_with_pictures() -> Cluster {
    let cluster = Cluster::on_demand();
    fill(&mut cluster.connect());
    cluster
}

/// Rows whose vector is not that of their caption, asked for one by one.
fn wrong(client: &mut Client) -> i64 {
    client
        .batch_execute("SET clip_search.enable_batch_scan = off")
        .and_then(|()| {
            client.query_one(
                "SELECT count(*) FROM pictures
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
    let cluster = cluster_with_pictures();
    for statement in [UPDATE, "SELECT id, clip_embed_text(caption || ' of ' || id) FROM pictures FOR UPDATE"] {
        let mut other = cluster.connect();
        other.batch_execute("BEGIN; UPDATE pictures SET caption = 'changed' WHERE id IN (50, 100)").unwrap();
        let mut client = cluster.connect();
        assert!(explain(&mut client, statement).contains("ClipEmbed"));
        let backend = backend_pid(&mut client);
        let update = thread::spawn(move || client.simple_query(statement).map(|_| client));
        let query = "SELECT FROM pg_stat_activity WHERE pid = $1 AND wait_event_type = 'Lock'";
        let mut witness = cluster.connect();
        wait_until("it waits for the row", Duration::from_secs(20), || {
            !witness.query(query, &[&backend]).unwrap().is_empty()
        });
        other.batch_execute("COMMIT").unwrap();
        let mut client = update.join().unwrap().unwrap();
        if statement == UPDATE {
            assert_eq!(wrong(&mut client), 0);
        }
    }
    cluster.assert_sessions_survived();
}

#[test]
fn cancelled_while_a_batch_is_under_way() {
    let cluster = cluster_with_pictures();
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
    server.thaw();
    client.simple_query(UPDATE).unwrap();
    assert_eq!(wrong(&mut client), 0);
    cluster.assert_sessions_survived();
}

/// The batches are sent again to the next server.
#[test]
fn server_killed_while_batches_are_under_way() {
    let cluster = cluster_with_pictures();
    let mut client = cluster.connect();
    cluster_tests::embed_text(&mut client, "connect").unwrap();
    client.batch_execute("SET clip_search.batch_memory = 64").unwrap();
    let server = cluster.server();
    server.freeze();
    let backend = backend_pid(&mut client);
    let update = thread::spawn(move || client.simple_query(UPDATE).map(|_| client));
    cluster.wait_for_waiting(backend);
    server.kill();
    let mut client = update.join().unwrap().unwrap();
    assert_eq!(wrong(&mut client), 0);
    cluster.assert_sessions_survived();
}

/// Where a batch takes longer than a request may, rows have a request each, as without batches.
#[test]
fn batch_that_is_not_answered_in_time() {
    let cluster = cluster_with_pictures();
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
    assert_eq!(wrong(&mut client), 0);
}

/// What is not asked for is not embedded; what is, in few requests.
#[test]
fn texts_and_requests_are_few() {
    let cluster = cluster_with_pictures();
    let mut client = cluster.connect();
    let mut witness = cluster.connect();
    let mut spent = |statement: &str| {
        let before = counters(&mut witness);
        client.batch_execute(statement).unwrap();
        let after = counters(&mut witness);
        (after.texts - before.texts, after.requests - before.requests)
    };
    assert_eq!(spent("SELECT clip_embed_text('a ' || id) FROM pictures LIMIT 10"), (10, 1));
    assert_eq!(spent("SELECT clip_embed_text('b ' || id) FROM pictures LIMIT (SELECT 9) + 1"), (10, 1));
    let (texts, _) =
        spent("BEGIN; DECLARE c CURSOR FOR SELECT clip_embed_text('c ' || id) FROM pictures; FETCH 10 FROM c; COMMIT");
    assert!((10..=21).contains(&texts), "{texts}");
    let (texts, _) =
        spent("SELECT FROM pictures t WHERE EXISTS (SELECT clip_embed_text('d ' || w.id) FROM words w) LIMIT 1");
    assert!(texts <= 1, "{texts}");
    assert_eq!(spent("CREATE TABLE made AS SELECT clip_embed_text('e ' || id) FROM pictures"), (120, 1));
    assert_eq!(spent("INSERT INTO sink SELECT id, clip_embed_text('f ' || id) FROM pictures"), (120, 1));
    let (texts, requests) = spent(
        "DO $$ DECLARE r record; BEGIN
        FOR r IN SELECT clip_embed_text('g ' || id) FROM pictures LOOP END LOOP; END $$",
    );
    assert!(texts == 120 && requests < 10, "{texts} {requests}");
}

/// Bytes of memory that a process had at most.
fn peak(process: Process) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.0)).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

#[test]
fn memory_is_bounded() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    client
        .batch_execute(
            "CREATE TABLE large (id integer, image bytea, made vector);
             ALTER TABLE large ALTER image SET STORAGE EXTERNAL",
        )
        .unwrap();
    let insert = client.prepare("INSERT INTO large SELECT i, $1 FROM generate_series($2::integer, $2 + 9) i").unwrap();
    for tens in 0..30 {
        // What is behind the picture is not looked at.
        let mut image = bits(8, 8, tens as u8);
        image.resize(1 << 20, 0);
        client.execute(&insert, &[&image, &(tens * 10)]).unwrap();
    }
    client.batch_execute("ANALYZE large").unwrap();
    // What else a session takes is 30 MB: the cluster's shared buffers, and a picture on its way.
    for (memory, most) in [("8MB", 38 << 20), ("64MB", 94 << 20)] {
        let mut client = cluster.connect();
        client
            .batch_execute(&format!(
                "SELECT count(clip_embed_text('connect')); SET jit = off; SET clip_search.batch_memory = '{memory}'"
            ))
            .unwrap();
        let backend = Process(backend_pid(&mut client));
        let before = peak(backend);
        let plan = explain(&mut client, "(ANALYZE) UPDATE large SET made = clip_embed_image(image)");
        assert!(plan.contains("ClipEmbed"), "{plan}");
        let grown = peak(backend) - before;
        println!("{} MB with {memory}", grown >> 20);
        assert!(grown < most, "{grown} bytes with {memory} for 300 MB of pictures\n{plan}");
    }
}

/// Workers batch, too, each for itself.
#[test]
fn parallel_workers_batch() {
    let cluster = cluster_with_pictures();
    let mut client = cluster.connect();
    client
        .batch_execute(
            "ALTER TABLE pictures SET (parallel_workers = 2);
             SET min_parallel_table_scan_size = 0; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0",
        )
        .unwrap();
    for leader in ["on", "off"] {
        client.batch_execute(&format!("SET parallel_leader_participation = {leader}")).unwrap();
        for (query, limit) in [
            ("SELECT id, clip_embed_text(caption) FROM pictures", 120),
            ("SELECT id, clip_embed_text(caption) FROM pictures ORDER BY id LIMIT 50", 50),
        ] {
            let plan = explain(&mut client, query);
            assert!(plan.contains("Gather") && plan.contains("ClipEmbed"), "{plan}");
            client.batch_execute("SET clip_search.enable_batch_scan = on").unwrap();
            let sql = format!(
                "SELECT count(*), count(*) FILTER (WHERE a.v <=> clip_embed_text(p.caption) > 0.0001) FROM ({query}) AS a(id, v) JOIN pictures p USING (id)"
            );
            let row = client.query_one(&sql, &[]).unwrap();
            assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (limit, 0), "{query}");
        }
    }
    cluster.assert_sessions_survived();
}
