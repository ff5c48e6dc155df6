//! How much is read, asked for and kept.

use super::fuzz::fill;
use cluster_tests::{Cluster, Process, backend_pid, bits, counters, explain, refusal, wait_until};
use std::time::Duration;

fn cluster_with_images() -> Cluster {
    let cluster = Cluster::on_demand();
    fill(&mut cluster.connect());
    cluster
}

/// What is not asked for is not embedded; what is, in few requests.
#[test]
fn texts_and_requests_are_few() {
    let cluster = cluster_with_images();
    let mut client = cluster.connect();
    let mut witness = cluster.connect();
    let mut spent = |statement: &str| {
        let before = counters(&mut witness);
        client.batch_execute(statement).unwrap();
        let after = counters(&mut witness);
        (after.texts - before.texts, after.requests - before.requests)
    };
    assert_eq!(spent("SELECT clip_embed_text('a ' || id) FROM images LIMIT 10"), (10, 1));
    // A LIMIT that is not known before: twice as many each time
    let (texts, requests) = spent("SELECT clip_embed_text('b ' || id) FROM images LIMIT (SELECT 9) + 1");
    assert_eq!((texts, requests), (15, 4));
    // A cursor has none but those that it fetches, one by one.
    let cursor = "BEGIN; DECLARE c CURSOR FOR SELECT clip_embed_text('c ' || id) FROM images; FETCH 10 FROM c; COMMIT";
    assert_eq!(spent(cursor), (10, 10));
    let cursor =
        "BEGIN; DECLARE c CURSOR FOR SELECT clip_embed_text('h ' || id) FROM images LIMIT 99; FETCH 9 FROM c; COMMIT";
    assert_eq!(spent(cursor), (9, 9));
    assert_eq!(spent("SELECT * FROM (SELECT clip_embed_text('k ' || id) e FROM images LIMIT 100) s LIMIT 5"), (5, 1));
    let (texts, _) = spent(
        "SET plan_cache_mode = force_generic_plan;
         PREPARE inner_one(int) AS SELECT * FROM (SELECT clip_embed_text('l ' || id) e FROM images LIMIT 100) s LIMIT $1;
         EXECUTE inner_one(6)",
    );
    assert!((6..=13).contains(&texts), "{texts}");
    // A prepared statement is in a portal with a name, which nobody sees.
    let prepared = "PREPARE all_of(text) AS SELECT clip_embed_text(id || $1) FROM images; EXECUTE all_of('execute')";
    let (texts, requests) = spent(prepared);
    assert!(texts == 120 && requests < 10, "{texts} {requests}");
    // Also where it is more than one batch
    assert_eq!(
        spent(
            "SELECT * FROM (SELECT clip_embed_text('p ' || t.id || w.word) e FROM images t, words w LIMIT 1000) s LIMIT 300"
        ),
        (300, 2)
    );
    // Both have 60 rows.
    let (texts, _) = spent("SELECT clip_embed_text('m ' || id) FROM parts LIMIT 70");
    assert!((70..=91).contains(&texts), "{texts}");
    // The function is strict.
    let nothing = "PREPARE nothing(text) AS SELECT clip_embed_text('n ' || id, $1) FROM images; EXECUTE nothing(NULL)";
    assert_eq!(spent(nothing), (0, 0));
    // Those that the session remembers are not asked for again, batch or not.
    let (texts, _) = spent(
        "SELECT (SELECT count(e) FROM (SELECT clip_embed_text('o ' || w.id) e FROM words w ORDER BY id LIMIT 20 + t.grp) s)
           FROM images t",
    );
    assert!((23..=31).contains(&texts), "{texts}");
    assert_eq!(spent("SELECT clip_embed_text('o ' || w.id) FROM words w WHERE id < 10"), (0, 0));
    let (texts, _) =
        spent("SELECT FROM images t WHERE EXISTS (SELECT clip_embed_text('d ' || w.id) FROM words w) LIMIT 1");
    assert!(texts <= 1, "{texts}");
    assert_eq!(spent("CREATE TABLE made AS SELECT clip_embed_text('e ' || id) FROM images"), (120, 1));
    assert_eq!(spent("INSERT INTO sink SELECT id, clip_embed_text('f ' || id) FROM images"), (120, 1));
    // More calls than the memo could hold the vectors of, for 256 rows
    let (texts, requests) = spent(
        "CREATE TABLE more AS SELECT clip_embed_text('q ' || t.id || w.word) q, clip_embed_text('r ' || t.id || w.word) r,
             clip_embed_text('s ' || t.id || w.word) s, clip_embed_text('t ' || t.id || w.word) t
           FROM images t, words w WHERE w.id <= 4",
    );
    assert!(texts == 4 * 480 && requests <= 4 * 4, "{texts} {requests}");
}

/// Several processes share a LIMIT: none is to take all of it at once.
#[test]
fn limit_above_parallel_workers() {
    let cluster = cluster_with_images();
    let mut client = cluster.connect();
    client
        .batch_execute(
            "CREATE TABLE many AS SELECT i AS id, repeat(md5(i::text), 60) AS filler FROM generate_series(1, 2000) i;
             ALTER TABLE many SET (parallel_workers = 4);
             ANALYZE many;
             SET max_parallel_workers_per_gather = 4; SET min_parallel_table_scan_size = 0;
             SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET parallel_leader_participation = off",
        )
        .unwrap();
    // Wide rows: a worker that is ahead of the leader waits for it.
    let query = "SELECT clip_embed_text('a ' || id), repeat(filler, 20) FROM many LIMIT 64";
    let plan = explain(&mut client, query);
    assert!(plan.contains("Workers Planned: 4") && plan.contains("ClipEmbed"), "{plan}");
    let mut witness = cluster.connect();
    let before = counters(&mut witness).texts;
    assert_eq!(client.query(query, &[]).unwrap().len(), 64);
    let texts = counters(&mut witness).texts - before;
    assert!((64..200).contains(&texts), "{texts}");
}

/// Bytes of memory that a process has: "VmRSS:", or had at most: "VmHWM:".
fn resident(process: Process, what: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.0)).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(what)).expect("in /proc");
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
        // What is behind the image is not looked at.
        let mut image = bits(8, 8, tens as u8);
        image.resize(1 << 20, 0);
        client.execute(&insert, &[&image, &(tens * 10)]).unwrap();
    }
    client.batch_execute("ANALYZE large").unwrap();
    // What else a session takes is a few images on their way; the cluster's shared buffers it has seen before.
    for (memory, most) in [("8MB", 14 << 20), ("64MB", 70 << 20)] {
        let mut client = cluster.connect();
        client
            .batch_execute(&format!(
                "SELECT count(clip_embed_text('connect')), max(md5(image)) FROM large;
                 SET jit = off; SET clip_search.batch_memory = '{memory}'"
            ))
            .unwrap();
        let backend = Process(backend_pid(&mut client));
        let before = resident(backend, "VmHWM:");
        let plan = explain(&mut client, "(ANALYZE) UPDATE large SET made = clip_embed_image(image)");
        assert!(plan.contains("ClipEmbed"), "{plan}");
        let grown = resident(backend, "VmHWM:") - before;
        println!("{} MB with {memory}", grown >> 20);
        assert!(grown < most, "{grown} bytes with {memory} for 300 MB of images\n{plan}");
    }
}

/// What a batch holds goes with a statement that fails while the batch is being read.
#[test]
fn memory_of_statements_that_fail() {
    let cluster = cluster_with_images();
    let mut client = cluster.connect();
    client
        .batch_execute(
            "CREATE TABLE large AS SELECT i AS id, repeat(md5(i::text), 30000) AS text FROM generate_series(1, 20) i;
             ANALYZE large;
             SET jit = off; SET enable_hashjoin = off; SET enable_mergejoin = off;
             SET join_collapse_limit = 1; SET max_parallel_workers_per_gather = 0",
        )
        .unwrap();
    // 20 rows of almost a megabyte, and then none until the time is up.
    let query =
        "SELECT clip_embed_text(l.text) FROM words a CROSS JOIN words b CROSS JOIN words c CROSS JOIN words d CROSS JOIN large l
          WHERE a.id < 2 AND b.id < 2 AND c.id < 2 AND d.id < 2 OR a.id < b.id AND b.id < c.id AND c.id < d.id AND d.id < a.id";
    let plan = explain(&mut client, &format!("CREATE TABLE made AS {query}"));
    assert!(plan.contains("ClipEmbed"), "{plan}");
    let backend = Process(backend_pid(&mut client));
    client.batch_execute("SET statement_timeout = 100").unwrap();
    let mut sizes = Vec::new();
    for _ in 0..60 {
        let error = refusal(client.batch_execute(&format!("CREATE TABLE made AS {query}")));
        assert_eq!(error.code().code(), "57014", "{error:?}");
        sizes.push(resident(backend, "VmRSS:"));
    }
    // What a statement has freed stays with the process or does not: 40 MB. What it loses is 2 MB, each time.
    let most = |sizes: &[u64]| sizes.iter().copied().max().expect("some");
    let grown = most(&sizes[50..]).saturating_sub(most(&sizes[..10]));
    println!("{} kB more after 50 more statements", grown >> 10);
    assert!(grown < 48 << 20, "{sizes:?}");
    cluster.assert_sessions_survived();
}

/// A batch that is more than the server has memory for is embedded row by row; those after it are small, and grow again.
#[test]
fn batches_grow_again() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    client
        .batch_execute(
            "CREATE TABLE mixed (id integer, image bytea);
             ALTER TABLE mixed ALTER image SET STORAGE EXTERNAL",
        )
        .unwrap();
    let insert = client.prepare("INSERT INTO mixed VALUES ($1, $2)").unwrap();
    for id in 0..1272_i32 {
        let mut image = bits(8, 8, (id % 250) as u8);
        // What is behind the image is not looked at, but takes memory: 64 MB for the first 16.
        image.extend(id.to_be_bytes());
        image.resize(if id < 16 { 4 << 20 } else { image.len() }, 0);
        client.execute(&insert, &[&id, &image]).unwrap();
    }
    client.batch_execute("ANALYZE mixed; SELECT clip_embed_image(image) FROM mixed LIMIT 1").unwrap();
    let status = |what: &str| -> i64 {
        cluster.connect().query_one(&format!("SELECT {what} FROM clip_stat_server"), &[]).unwrap().get(0)
    };
    let resident = status("resident_bytes");
    cluster.reconfigure(&[("clip_search.max_server_memory", &format!("{}MB", (resident >> 20) + 100))]);
    wait_until("the backend has read the settings", Duration::from_secs(10), || {
        client
            .query_one(
                "SELECT pg_settings.setting <> '0' FROM pg_settings WHERE name = 'clip_search.max_server_memory'",
                &[],
            )
            .unwrap()
            .get(0)
    });
    cluster.wait_for_log("took new settings");
    let (requests, errors) = (status("requests"), status("errors"));
    client
        .batch_execute("SET clip_search.batch_memory = '256MB'; CREATE TABLE made AS SELECT id, clip_embed_image(image) AS e FROM mixed")
        .unwrap();
    let requests = status("requests") - requests;
    // Two that are read at once, 16 alone, and from one row on.
    println!("{requests} requests");
    assert!((20..90).contains(&requests), "{requests}");
    assert_eq!(status("errors") - errors, 1, "the first is too much");
    let sql = "SELECT count(*) FROM made JOIN mixed USING (id) WHERE e <=> clip_embed_image(image) < 0.0001";
    client.batch_execute("SET clip_search.enable_batch_scan = off").unwrap();
    assert_eq!(client.query_one(sql, &[]).unwrap().get::<_, i64>(0), 1272);
    cluster.assert_sessions_survived();
}
