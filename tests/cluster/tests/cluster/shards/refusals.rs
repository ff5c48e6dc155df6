//! Who may search a sharded table, and what cannot be done with one.

use super::fixture::{RECOMMENDED, Shards, ids};
use cluster_tests::{refusal, report};
use postgres::Client;

const SEARCH: &str = "SELECT id::int FROM clip_search('things', 'a dog', 30, id_column => 'id', columns => '{name}')";
const WHOLE: &str = "SELECT id::int FROM clip_search('whole', 'a dog', 30, columns => '{name}')";

/// The right to read the table is enough, as it is in plain SQL, and there is no way around it.
#[test]
fn partitions_are_read_by_the_right_to_read_the_table() {
    let cluster = Shards::start(RECOMMENDED);
    let mut client = cluster.fill("id");
    client.batch_execute("CREATE ROLE reader; GRANT SELECT ON whole TO reader").unwrap();
    let expected = ids(&mut client, WHOLE);
    client.batch_execute("SET ROLE reader").unwrap();
    let denied = |client: &mut Client, search: &str| {
        let error = refusal(client.query(search, &[]));
        assert_eq!((error.code().code(), error.message()), ("42501", "permission denied for table things"));
    };
    denied(&mut client, SEARCH);
    let grant = |client: &mut Client, grant: &str| {
        client.batch_execute(&format!("RESET ROLE; {grant}; SET ROLE reader")).unwrap();
    };
    grant(&mut client, "GRANT SELECT (id, embedding, name) ON things TO reader");
    assert_eq!(ids(&mut client, SEARCH), expected);
    // Neither to show nor to filter by.
    denied(&mut client, &SEARCH.replace("{name}", "{name,shop}"));
    denied(&mut client, &SEARCH.replace("columns", "filter => '{\"shop\": 1}', columns"));
    grant(&mut client, "GRANT SELECT ON things TO reader");
    assert_eq!(ids(&mut client, SEARCH), expected);
    assert_eq!(ids(&mut client, &SEARCH.replace("'{name}'", "NULL")), expected);
    // The partitions by themselves are still closed, also after they were read.
    let error = refusal(client.query("SELECT id FROM things_here", &[]));
    assert_eq!(error.code().code(), "42501");
    let error = refusal(client.query(&SEARCH.replace("things", "things_0"), &[]));
    assert_eq!(error.code().code(), "42501");
    grant(&mut client, "REVOKE ALL ON things FROM reader");
    denied(&mut client, SEARCH);
}

/// Policies of the table hold, and those of a partition do not, as in plain SQL.
#[test]
fn policies_are_those_of_the_table() {
    let cluster = Shards::start(RECOMMENDED);
    let mut client = cluster.fill("id");
    client
        .batch_execute(
            "CREATE ROLE reader; GRANT SELECT ON whole, things TO reader;
             ALTER TABLE whole ENABLE ROW LEVEL SECURITY; ALTER TABLE things ENABLE ROW LEVEL SECURITY;
             CREATE POLICY shop ON whole USING (shop = 3 AND current_user = 'reader');
             CREATE POLICY shop ON things USING (shop = 3 AND current_user = 'reader')",
        )
        .unwrap();
    let all = ids(&mut client, WHOLE);
    assert_eq!(ids(&mut client, SEARCH), all);
    client.batch_execute("SET ROLE reader").unwrap();
    let expected = ids(&mut client, WHOLE);
    assert!(expected.len() == 30 && expected != all, "{expected:?}");
    assert_eq!(ids(&mut client, SEARCH), expected);
    client.batch_execute("RESET ROLE; ALTER TABLE things DISABLE ROW LEVEL SECURITY").unwrap();
    client.batch_execute("ALTER TABLE things_here ENABLE ROW LEVEL SECURITY; SET ROLE reader").unwrap();
    assert_eq!(ids(&mut client, SEARCH), all);
}

#[test]
fn what_cannot_be_done_says_what_can() {
    let cluster = Shards::start(RECOMMENDED);
    let mut client = cluster.fill("id");
    client.batch_execute("CREATE VIEW seen AS SELECT * FROM things").unwrap();
    for table in ["things", "things_0", "seen"] {
        let told = report(client.query(&format!("SELECT * FROM clip_search('{table}', 'a dog')"), &[]));
        let expected = format!(
            "55000: public.{table} has no primary key\nHINT: Name the column that tells its rows apart, as id_column => 'id': its \
             values are the ids of the result. Views, foreign tables and tables with foreign partitions cannot have a primary key."
        );
        assert_eq!(told, expected);
    }
    let hint = |table: &str| {
        format!(
            "HINT: Call it on the server where the rows lie, for the table there, which can have a primary key and triggers. Rows \
             that arrive through public.{table} are embedded there, too."
        )
    };
    for (table, is) in [("things", "has foreign partitions"), ("things_0", "is a foreign table")] {
        let expected = format!("42809: public.{table} {is}\n{}", hint(table));
        for statement in [
            format!("CALL clip_embed_table('{table}', 'name')"),
            format!("SELECT clip_sync('{table}', 'name', mode => 'queued')"),
        ] {
            assert_eq!(report(client.batch_execute(&statement)), expected, "{statement}");
        }
    }
    let told = report(client.batch_execute("SELECT clip_sync('things_0', 'name')"));
    assert_eq!(told, format!("42809: public.things_0 is a foreign table\n{}", hint("things_0")));
    // What reads a table by other means.
    for statement in [
        "SELECT * FROM clip_suggest_threshold('things', 'a dog')",
        "SELECT * FROM clip_suggest_threshold('things_0', 'a dog')",
        "SELECT clip_index_stats('things')",
        "SELECT clip_index_stats('things_0')",
        "UPDATE pg_class SET reltuples = 1e6 WHERE relname IN ('things', 'things_0')",
        "SELECT * FROM clip_suggest_threshold('things', 'a dog')",
        "SELECT * FROM clip_suggest_threshold('things_0', 'a dog')",
    ] {
        client.batch_execute(statement).unwrap_or_else(|error| panic!("{statement}\n{error:?}"));
    }
    cluster.coordinator.assert_sessions_survived();
}
