//! A sharded table gives the same rows as one table that has all of them.

use super::fixture::{RECOMMENDED, Shards, ids};
use cluster_tests::{StopMode, refusal, wait_until};
use postgres::Client;
use std::time::Duration;

fn by_search(client: &mut Client, table: &str, arguments: &str) -> Vec<i32> {
    ids(client, &format!("SELECT id::int FROM clip_search('{table}', {arguments}, id_column => 'id')"))
}

fn by_json(client: &mut Client, table: &str, arguments: &str) -> Vec<i32> {
    let call = format!("clip_search_json('{table}', {arguments}, id_column => 'id')");
    ids(client, &format!("SELECT (m -> 'id')::int FROM jsonb_array_elements({call} -> 'matches') AS m"))
}

/// What is similar to a row, and everything that can be asked for with it.
fn arguments(number: i32) -> String {
    const FILTERS: [&str; 8] = [
        "NULL",
        r#"{"shop": 3}"#,
        r#"{"shop": [1, 2, 9]}"#,
        r#"{"shop": null}"#,
        r#"{"name": ["thing 1", "thing 2"], "shop": 4}"#,
        r#"{"tags": ["tag 2", "all"]}"#,
        r#"{"info": {"rank": 1}}"#,
        r#"{"name": "no such"}"#,
    ];
    const EXCLUDED: [&str; 4] = ["NULL", "'7'", "'[7, 11, 14]'", "ARRAY[28, 35]"];
    let filter = match FILTERS[number as usize % 8] {
        "NULL" => "NULL".to_owned(),
        filter => format!("'{filter}'"),
    };
    let (k, skip) = ([1, 10, 40, 200][number as usize % 4], [0, 0, 7, 100][(number / 3) as usize % 4]);
    let least = ["NULL", "0.1", "0.35", "-1"][(number / 5) as usize % 4];
    format!(
        "(SELECT embedding FROM whole WHERE id = {}), k => {k}, skip => {skip}, min_similarity => {least},
         filter => {filter}, exclude => {}, columns => '{{name,shop}}'",
        number * 7,
        EXCLUDED[(number / 2) as usize % 4]
    )
}

#[test]
fn fifty_searches_give_the_same_ids_as_one_table() {
    let cluster = Shards::start(RECOMMENDED);
    let mut client = cluster.fill("id");
    assert_eq!(ids(&mut client, "SELECT count(*)::int FROM things"), [1500]);
    let mut found = 0;
    for number in 1..=50 {
        let arguments = arguments(number);
        let expected = by_search(&mut client, "whole", &arguments);
        assert_eq!(by_search(&mut client, "things", &arguments), expected, "{arguments}");
        assert_eq!(by_json(&mut client, "things", &arguments), expected, "{arguments}");
        found += expected.len();
        let plain = |table: &str| {
            format!(
                "SELECT id FROM {table} WHERE id <> {0} ORDER BY embedding <=> (SELECT embedding FROM whole WHERE id = {0}) LIMIT 20",
                number * 7
            )
        };
        let expected = ids(&mut client, &plain("whole"));
        assert_eq!(ids(&mut client, &plain("things")), expected, "{number}");
        let relevant = |table: &str| {
            format!(
                "SELECT id::int FROM clip_search_relevant('{table}', (SELECT embedding FROM whole WHERE id = {}), k => 30,
                     min_similarity => 0.1, order_by => 'shop DESC NULLS LAST, id', id_column => 'id')",
                number * 7
            )
        };
        let expected = ids(&mut client, &relevant("whole"));
        assert!(!expected.is_empty() && ids(&mut client, &relevant("things")) == expected, "{number}: {expected:?}");
        let hybrid = |table: &str| {
            format!(
                "SELECT id::int FROM clip_search_hybrid('{table}', 'thing {}', '{{name}}', 30, id_column => 'id',
                     text_search_config => 'simple')",
                number % 8
            )
        };
        let expected = ids(&mut client, &hybrid("whole"));
        assert_eq!(ids(&mut client, &hybrid("things")), expected, "{number}");
        assert_eq!(expected.len(), 30, "{number}");
    }
    assert!(found > 400, "{found}");
    // By text, and what comes with the id.
    let metadata = |client: &mut Client, table: &str| -> String {
        let call = format!("clip_search('{table}', 'a dog', 25, id_column => 'id', columns => '{{name,tags,info}}')");
        client.query_one(&format!("SELECT jsonb_agg(to_jsonb(f))::text FROM {call} AS f"), &[]).unwrap().get(0)
    };
    assert_eq!(metadata(&mut client, "things"), metadata(&mut client, "whole"));
    cluster.coordinator.assert_sessions_survived();
}

/// A server whose sessions look at 40 rows, as pgvector does unless it is told otherwise.
#[test]
fn as_many_rows_come_as_are_asked_for_whatever_a_server_is_set_to() {
    let cluster = Shards::start("");
    let mut client = cluster.fill("id");
    // The index is to be used.
    client.batch_execute("SET enable_sort = off; DROP INDEX things_here_embedding_idx").unwrap();
    for shard in &cluster.shards {
        shard.connect().batch_execute("ALTER DATABASE postgres SET enable_sort = off").unwrap();
    }
    client.batch_execute("SELECT postgres_fdw_disconnect_all()").unwrap();
    let query = "(SELECT embedding FROM whole WHERE id = 7)";
    let plain = ids(&mut client, &format!("SELECT id FROM things ORDER BY embedding <=> {query} LIMIT 1000"));
    assert!(plain.len() < 500, "{}: the limit of the index does not show", plain.len());
    for arguments in [
        format!("{query}, 200"),
        format!("{query}, 1400, filter => '{{\"tags\": \"all\"}}'"),
        format!("{query}, 10, skip => 60"),
        format!("{query}, 10, filter => '{{\"shop\": 3, \"name\": \"thing 2\"}}'"),
        format!("{query}, 10, skip => 2000"),
    ] {
        let expected = by_search(&mut client, "whole", &arguments);
        assert_eq!(by_search(&mut client, "things", &arguments), expected, "{arguments}");
        assert_eq!(by_json(&mut client, "things", &arguments), expected, "{arguments}");
    }
    // Through a view and of one shard alone, too.
    client
        .batch_execute("CREATE VIEW seen AS SELECT * FROM things; CREATE VIEW one AS SELECT * FROM things_1")
        .unwrap();
    assert_eq!(by_search(&mut client, "seen", &format!("{query}, 200")).len(), 200);
    let arguments = format!("{query}, 800");
    let expected = by_search(&mut client, "whole", &arguments);
    assert_eq!(by_search(&mut client, "seen", &arguments), expected);
    let arguments = format!("{query}, 200");
    for table in ["things_1", "one"] {
        let expected =
            ids(&mut client, &format!("SELECT id FROM things_1 ORDER BY (embedding <=> {query}) + 0 LIMIT 200"));
        assert_eq!(expected.len(), 200);
        assert_eq!(by_search(&mut client, table, &arguments), expected, "{table}");
    }
}

/// Half the memory of a shard, as docs/scaling.md says.
#[test]
fn a_column_of_halves_on_all_servers() {
    const CHANGE: &str = "ALTER TABLE things ALTER embedding TYPE halfvec(32)";
    let cluster = Shards::start(RECOMMENDED);
    let mut client = cluster.fill("id");
    client.batch_execute("DROP INDEX things_here_embedding_idx").unwrap();
    client.batch_execute(&format!("{CHANGE}; {}", CHANGE.replace("things", "whole"))).unwrap();
    for shard in &cluster.shards {
        let index = "CREATE INDEX ON things USING hnsw (embedding halfvec_cosine_ops)";
        shard.connect().batch_execute(&format!("DROP INDEX things_embedding_idx; {CHANGE}; {index}")).unwrap();
    }
    for number in 1..=16 {
        let arguments = arguments(number);
        let expected = by_search(&mut client, "whole", &arguments);
        assert_eq!(by_search(&mut client, "things", &arguments), expected, "{arguments}");
    }
    let plan = inner_plan(&cluster, &mut client, "SELECT * FROM clip_search('things', 'a dog', id_column => 'id')");
    assert_eq!(plan.matches("LIMIT 10::bigint").count(), 3, "{plan}");
}

/// Partitions by the column that is filtered by: only those that can have the rows are asked.
#[test]
fn a_filter_by_the_partition_key_asks_one_shard() {
    let cluster = Shards::start(RECOMMENDED);
    let mut client = cluster.fill("shop");
    for number in 1..=16 {
        let arguments = arguments(number);
        let expected = by_search(&mut client, "whole", &arguments);
        assert_eq!(by_search(&mut client, "things", &arguments), expected, "{arguments}");
    }
    let holders: i32 = ids(&mut client, "SELECT count(DISTINCT tableoid)::int FROM things WHERE shop = 3")[0];
    assert_eq!(holders, 1);
    let search = "SELECT * FROM clip_search('things', 'a dog', id_column => 'id', filter => '{\"shop\": 3}')";
    let plan = inner_plan(&cluster, &mut client, search);
    assert!(plan.matches("Scan on").count() <= 2, "{plan}");
}

/// The plan of the statement inside a call, which auto_explain writes to the log.
fn inner_plan(cluster: &Shards, client: &mut Client, search: &str) -> String {
    let before = cluster.coordinator.log().len();
    client
        .batch_execute(&format!(
            "LOAD 'auto_explain'; SET auto_explain.log_min_duration = 0; SET auto_explain.log_verbose = on;
             SET auto_explain.log_nested_statements = on; {search}; SET auto_explain.log_min_duration = -1"
        ))
        .unwrap();
    wait_until("the plan is in the log", Duration::from_secs(5), || {
        cluster.coordinator.log()[before..].contains("Function Scan on")
    });
    let log = cluster.coordinator.log()[before..].to_owned();
    log.split("plan:").find(|plan| plan.contains("AS found")).expect("the inner statement").to_owned()
}

/// Order, limit, filter and what is left out are the shard's work, and all shards are asked at once.
#[test]
fn each_shard_gets_order_and_limit() {
    let cluster = Shards::start(RECOMMENDED);
    let mut client = cluster.fill("id");
    let search = "SELECT * FROM clip_search('things', 'a dog', 5, skip => 2, exclude => '[7, 8]', id_column => 'id',
                      filter => '{\"shop\": [1, 2, 3, 4], \"name\": \"thing 3\"}', columns => '{name}')";
    let plan = inner_plan(&cluster, &mut client, search);
    let remote: Vec<&str> = plan.lines().filter(|line| line.contains("Remote SQL:")).collect();
    assert_eq!(remote.len(), 3, "{plan}");
    assert_eq!(plan.matches("Async Foreign Scan").count(), 3, "{plan}");
    for part in ["ORDER BY (embedding OPERATOR(public.<=>)", "LIMIT 7::bigint", "name = 'thing 3'", "shop =", "id ="] {
        assert!(remote.iter().all(|sql| sql.contains(part)), "{part}\n{plan}");
    }
}

#[test]
fn an_error_says_which_shard_is_down() {
    let cluster = Shards::start(RECOMMENDED);
    let mut client = cluster.fill("id");
    let search = "SELECT id::int FROM clip_search('things', 'a dog', id_column => 'id')";
    assert_eq!(ids(&mut client, search).len(), 10);
    cluster.shards[1].stop(StopMode::Fast);
    for _ in 0..2 {
        let error = refusal(client.query(search, &[]));
        assert_eq!(error.code().code(), "08001", "{error:?}");
        assert!(error.message().contains("\"shard_1\""), "{error:?}");
    }
    cluster.shards[1].start();
    assert_eq!(ids(&mut client, search).len(), 10);
    cluster.coordinator.assert_sessions_survived();
}

/// What a session knows of a table is no older than its partitions.
#[test]
fn partitions_come_and_go() {
    let cluster = Shards::start(RECOMMENDED);
    let mut client = cluster.fill("id");
    let mut other = cluster.coordinator.connect();
    let count = "SELECT count(*)::int FROM clip_search('things', 'a dog', 2000, id_column => 'id')";
    let rows = |client: &mut Client| ids(client, "SELECT count(embedding)::int FROM things")[0];
    for change in [
        "ALTER TABLE things DETACH PARTITION things_1",
        "ALTER FOREIGN TABLE things_2 RENAME TO other_name",
        "ALTER TABLE things ATTACH PARTITION things_1 FOR VALUES WITH (MODULUS 4, REMAINDER 1)",
        "CREATE SCHEMA away; ALTER TABLE things_here SET SCHEMA away",
        "TRUNCATE away.things_here",
        "DROP FOREIGN TABLE things_0",
    ] {
        assert_eq!(ids(&mut client, count)[0], rows(&mut client), "before {change}");
        other.batch_execute(change).unwrap();
        assert_eq!(ids(&mut client, count)[0], rows(&mut client), "after {change}");
    }
}
