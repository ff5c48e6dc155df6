//! What the pages of the documentation say is true of the catalog and of the planner.

use cluster_tests::Cluster;
use postgres::Client;
use std::collections::BTreeSet;
use std::path::Path;

fn page(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(name)).unwrap()
}

/// The text between a heading and the next one of the same level.
fn section<'a>(page: &'a str, heading: &str) -> &'a str {
    let start = page.find(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no {heading}")) + heading.len() + 2;
    let level = heading.split_once(' ').unwrap().0;
    let end = page[start..].find(&format!("\n{level} ")).map_or(page.len(), |end| start + end);
    &page[start..end]
}

/// The cells of the rows of the tables in a section.
fn rows(section: &str) -> Vec<Vec<&str>> {
    let table = section.lines().filter(|line| line.starts_with("| `"));
    table.map(|line| line.trim_matches('|').split(" |").map(str::trim).collect()).collect()
}

/// The names in backquotes that begin with `clip_`, up to a parenthesis, a dot or a blank.
fn names(text: &str) -> BTreeSet<String> {
    let quoted = text.split('`').skip(1).step_by(2);
    let name = |code: &str| code.split(['(', '.', ' ', '[']).next().unwrap_or_default().to_owned();
    quoted
        .map(|code| name(code.strip_prefix("CALL ").unwrap_or(code)))
        .filter(|name| name.starts_with("clip_") && name != "clip_search")
        .collect()
}

/// Functions that only a trigger, a view, a type, an aggregate or the planner calls.
const INTERNAL: [&str; 14] = [
    "clip_embed_support",
    "clip_filter_in",
    "clip_filter_out",
    "clip_filter_recv",
    "clip_filter_send",
    "clip_gallery_add",
    "clip_gallery_page",
    "clip_kept_thresholds",
    "clip_skip_replicated",
    "clip_stat_get_endpoints",
    "clip_stat_get_models",
    "clip_stat_get_server",
    "clip_sync_triggers",
    "clip_search",
];

#[test]
fn the_reference_lists_every_function_view_and_type() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    let query = "SELECT DISTINCT name FROM (
            SELECT p.proname AS name, d.refobjid FROM pg_depend d JOIN pg_proc p ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid WHERE d.deptype = 'e'
            UNION ALL
            SELECT c.relname, d.refobjid FROM pg_depend d JOIN pg_class c ON d.classid = 'pg_class'::regclass AND d.objid = c.oid
             WHERE d.deptype = 'e' AND c.relkind = 'v'
            UNION ALL
            SELECT t.typname, d.refobjid FROM pg_depend d JOIN pg_type t ON d.classid = 'pg_type'::regclass AND d.objid = t.oid
             WHERE d.deptype = 'e' AND t.typtype = 'b' AND t.typelem = 0) AS member
         WHERE refobjid = (SELECT oid FROM pg_extension WHERE extname = 'clip_search')";
    let members: BTreeSet<String> = client.query(query, &[]).unwrap().iter().map(|row| row.get(0)).collect();
    let wanted: BTreeSet<String> = members.into_iter().filter(|name| !INTERNAL.contains(&name.as_str())).collect();
    let reference = page("docs/reference.md");
    let table = rows(section(&reference, "## Functions"));
    let listed: BTreeSet<String> = table.iter().flat_map(|row| names(row[0])).collect();
    assert!(wanted.len() > 25, "{wanted:?}");
    assert_eq!(listed, wanted);
}

#[test]
fn the_reference_lists_every_setting() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    // Its settings are known once the library is there.
    client.batch_execute("LOAD 'clip_search'").unwrap();
    let reference = page("docs/reference.md");
    let table = rows(section(&reference, "## Settings"));
    let listed: BTreeSet<(String, String)> =
        table.iter().map(|row| (row[0].trim_matches('`').to_owned(), row[3].to_owned())).collect();
    let query = "SELECT name, CASE context WHEN 'user' THEN 'session' WHEN 'sighup' THEN 'reload'
            WHEN 'superuser' THEN 'superuser' WHEN 'postmaster' THEN 'restart' ELSE context END
          FROM pg_settings WHERE name LIKE 'clip\\_search.%'";
    let wanted: BTreeSet<(String, String)> =
        client.query(query, &[]).unwrap().iter().map(|row| (row.get(0), row.get(1))).collect();
    assert!(wanted.len() > 25, "{wanted:?}");
    assert_eq!(listed, wanted);
    for row in &table {
        let name = row[0].trim_matches('`');
        let row_of_catalog = client
            .query_one("SELECT coalesce(boot_val, ''), coalesce(unit, '') FROM pg_settings WHERE name = $1", &[&name])
            .unwrap();
        let (wanted, unit): (String, String) = (row_of_catalog.get(0), row_of_catalog.get(1));
        let said = row[1].trim_matches('`');
        let is_right = match said {
            "" | "empty" => wanted.is_empty(),
            said => said == wanted || in_unit(said, &unit).is_some_and(|value| value.to_string() == wanted),
        };
        assert!(is_right, "{name}: the page says {said:?}, the catalog {wanted:?} {unit}");
    }
}

/// `30s` in milliseconds, say.
fn in_unit(said: &str, unit: &str) -> Option<u64> {
    let (number, suffix) = said.split_at(said.find(|c: char| !c.is_ascii_digit())?);
    let factor = match (suffix, unit) {
        ("ms", "ms") | ("s", "s") | ("kB", "kB") => 1,
        ("s", "ms") => 1000,
        ("min", "ms") => 60_000,
        ("min", "s") => 60,
        ("MB", "kB") => 1 << 10,
        ("MB", "B") => 1 << 20,
        _ => return None,
    };
    Some(number.parse::<u64>().ok()? * factor)
}

/// The statements of the page's SQL that a vector index should answer.
fn searches(page: &str) -> Vec<String> {
    let blocks = page.split("\n```sql\n").skip(1).map(|rest| rest.split("\n```").next().unwrap());
    let statements = blocks.flat_map(|block| block.split(';')).map(|statement| statement.trim().to_owned());
    statements.filter(|statement| statement.contains("ORDER BY embedding <=>")).collect()
}

/// 20,000 rows, so that a sequential scan would be a mistake of the page's.
fn table(client: &mut Client) {
    client
        .batch_execute(
            "CREATE TABLE images (id bigint PRIMARY KEY, name text, image bytea, embedding vector(128));
             INSERT INTO images SELECT i, CASE i WHEN 1 THEN 'red-apple.png' ELSE i || '.png' END, NULL,
                    (SELECT array_agg(random() - 0.5 + 0 * (i + j))::vector FROM generate_series(1, 128) AS j)
               FROM generate_series(1, 20000) AS i;
             CREATE INDEX ON images (name);
             CREATE INDEX images_embedding ON images USING hnsw (embedding vector_cosine_ops) WITH (ef_construction = 32);
             ANALYZE images",
        )
        .unwrap();
}

#[test]
fn every_search_of_the_pages_uses_the_index() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    table(&mut client);
    let mut tried = 0;
    for name in ["README.md", "docs/guide.md"] {
        for search in searches(&page(name)) {
            let plan: Vec<String> =
                client.query(&format!("EXPLAIN {search}"), &[]).unwrap().iter().map(|row| row.get(0)).collect();
            let plan = plan.join("\n");
            assert!(plan.contains("Index Scan using images_embedding on images"), "{name}: {search}\n{plan}");
            tried += 1;
        }
    }
    assert!(tried >= 8, "{tried}");
    // The form that the guide warns of does not, which shows that this test can fail.
    let warned = "EXPLAIN SELECT id FROM images, clip_embed_text('x') AS query ORDER BY embedding <=> query LIMIT 10";
    let plan: Vec<String> = client.query(warned, &[]).unwrap().iter().map(|row| row.get(0)).collect();
    assert!(!plan.join("\n").contains("images_embedding"), "{plan:?}");
}
