//! Some hundred statements at random, each with `clip_search.enable_batch_scan` on and off: the same rows, errors,
//! warnings and effects, but for errors of rows that are read early.

use super::grammar::{Random, Statement, statement};
use super::{Noticing, close};
use cluster_tests::{Cluster, bits};
use postgres::{Client, SimpleQueryMessage};

const STATEMENTS: usize = 500;
const SEED: u64 = 20;

/// All that can be seen of a transaction.
#[derive(Debug, Default)]
struct Outcome {
    rows: Vec<Vec<Option<String>>>,
    error: Option<String>,
    notices: Vec<String>,
    effects: Vec<Vec<Option<String>>>,
}

pub fn rows(client: &mut Client, sql: &str) -> Result<Vec<Vec<Option<String>>>, postgres::Error> {
    let messages = client.simple_query(sql)?;
    let rows = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some((0..row.len()).map(|i| row.get(i).map(str::to_owned)).collect()),
        _ => None,
    });
    Ok(rows.collect())
}

/// What has the planner choose other plans, and batches end sooner.
const SETTINGS: &[&str] = &[
    "SET LOCAL clip_search.batch_memory = '64kB'",
    "SET LOCAL enable_hashjoin = off",
    "SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off",
    "SET LOCAL enable_seqscan = off; SET LOCAL enable_nestloop = off",
    "SET LOCAL enable_sort = off; SET LOCAL enable_material = off",
    "SET LOCAL jit_above_cost = 0",
];

fn run(session: &mut Noticing, statement: &Statement, setting: &str, batch: bool) -> Outcome {
    let mut outcome = Outcome::default();
    let client = &mut session.client;
    client.batch_execute("SELECT setval('counter', 1, false); BEGIN; SAVEPOINT before").unwrap();
    client.batch_execute(&format!("{setting}; SET LOCAL clip_search.enable_batch_scan = {batch}")).unwrap();
    session.notices.lock().unwrap().clear();
    for part in &statement.parts {
        match rows(client, part) {
            Ok(rows) => outcome.rows.extend(rows),
            Err(error) => {
                outcome.error = Some(cluster_tests::report(Err::<(), _>(error)));
                client.batch_execute("ROLLBACK TO before").unwrap();
                break;
            }
        }
    }
    outcome.notices = session.notices.lock().unwrap().iter().map(ToString::to_string).collect();
    // In an order of their own: which free space a row takes is not decided by the statement alone.
    for table in [
        "SELECT last_value, is_called FROM counter",
        "SELECT * FROM log ORDER BY line",
        "SELECT * FROM sink ORDER BY a, c",
        "SELECT * FROM parts ORDER BY id",
    ] {
        outcome.effects.extend(rows(client, table).unwrap());
    }
    client.batch_execute("ROLLBACK").unwrap();
    outcome
}

/// The first difference between two lists of rows.
pub fn difference(off: &[Vec<Option<String>>], on: &[Vec<Option<String>>]) -> Option<String> {
    let equal = |a: &Option<String>, b: &Option<String>| match (a, b) {
        (Some(a), Some(b)) => a == b || close(a, b),
        _ => a == b,
    };
    let same = |(a, b): &(&Vec<_>, &Vec<_>)| a.len() == b.len() && a.iter().zip(*b).all(|(a, b)| equal(a, b));
    if let Some(index) = off.iter().zip(on).position(|pair| !same(&pair)) {
        return Some(format!("row {index}\noff: {:?}\non:  {:?}", off[index], on[index]));
    }
    (off.len() != on.len()).then(|| format!("{} rows off, {} rows on", off.len(), on.len()))
}

/// SQLSTATEs that only the source of a statement raises: division by zero, LIMIT, OFFSET, a sample, a frame, the step of a
/// series, and records that cannot be compared. A batch may meet them before the row that had ended the statement, or that
/// would have been its last.
const OF_SOURCE: &[&str] = &["22012", "2201W", "2201X", "2202H", "2202G", "22013", "22023", "42883", "42804"];

/// Whether a row that was read early ended the statement.
fn is_early(statement: &Statement, off: &Outcome, on: &Outcome) -> bool {
    let is_of_source = |error: &String| OF_SOURCE.iter().any(|code| error.contains(code));
    let may_stop_early = off.error.is_some() || statement.parts.iter().any(|part| part.contains("LIMIT"));
    on.error.as_ref().is_some_and(is_of_source) && may_stop_early
}

fn compare(off: &Outcome, on: &Outcome) -> Option<String> {
    if off.error != on.error {
        return Some(format!("off: {:?}\non:  {:?}", off.error, on.error));
    }
    if off.notices != on.notices {
        return Some(format!("off: {:?}\non:  {:?}", off.notices, on.notices));
    }
    difference(&off.rows, &on.rows).or_else(|| difference(&off.effects, &on.effects))
}

pub fn fill(client: &mut Client) {
    client
        .batch_execute(
            "CREATE TABLE images (id integer, grp integer, caption text, price numeric, image bytea, large bytea, made vector);
             ALTER TABLE images ALTER large SET STORAGE EXTERNAL;
             CREATE TABLE words AS SELECT i AS id, 'word ' || i AS word FROM generate_series(1, 90) i;
             CREATE TABLE sink (a integer, b vector, c integer, UNIQUE (a));
             CREATE TABLE log (line text);
             CREATE SEQUENCE counter;
             CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 INSERT INTO log VALUES (TG_TABLE_NAME || ' ' || NEW::text IS NULL || ' ' || nextval('counter')); RETURN NEW;
             END $$;
             CREATE TRIGGER note BEFORE INSERT ON sink FOR EACH ROW EXECUTE FUNCTION note();",
        )
        .unwrap();
    let insert = client.prepare("INSERT INTO images VALUES ($1, $1 % 4, $2, $1 / 50.0, $3, $4)").unwrap();
    for id in 1..=120 {
        let caption = (id % 9 != 0).then(|| format!("Caption {}", id % 50));
        let image = (id % 7 != 0).then(|| bits(8, 8, (id % 30) as u8));
        let large = (id % 5 != 0).then(|| bits(300, 300, (id % 10) as u8));
        client.execute(&insert, &[&id, &caption, &image, &large]).unwrap();
    }
    client
        .batch_execute(
            "CREATE TABLE broken AS SELECT * FROM images WHERE id < 60;
             UPDATE broken SET image = 'no image' WHERE id IN (20, 21, 41);
             UPDATE broken SET large = substr(large, 1, 500) WHERE id = 33;
             CREATE TABLE parts (LIKE images) PARTITION BY HASH (id);
             CREATE TABLE parts_0 PARTITION OF parts FOR VALUES WITH (MODULUS 2, REMAINDER 0);
             CREATE TABLE parts_1 PARTITION OF parts FOR VALUES WITH (MODULUS 2, REMAINDER 1);
             INSERT INTO parts SELECT * FROM images;
             CREATE VIEW shown AS SELECT *, ctid FROM images WHERE price < 2;
             ANALYZE",
        )
        .unwrap();
}

#[test]
fn statements_at_random_do_the_same_with_and_without_batches() {
    let cluster = Cluster::on_demand();
    let mut session = Noticing::connect(&cluster);
    fill(&mut session.client);
    // New statistics between two runs might bring another plan, and another order.
    cluster.reconfigure(&[("max_parallel_workers_per_gather", "0"), ("autovacuum", "off")]);
    let seed = std::env::var("CLIP_SEARCH_FUZZ_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(SEED);
    let mut random = Random::new(seed);
    let (mut explained, mut batched, mut failed, mut warned, mut early) = (0, 0, 0, 0, 0);
    for number in 0..STATEMENTS {
        let statement = statement(&mut random);
        // One in two has the planner's own choice.
        let setting = SETTINGS.get(random.below(2 * SETTINGS.len())).unwrap_or(&"");
        let off = run(&mut session, &statement, setting, false);
        // One that remembers nothing: what another has been told, a batch would not ask for.
        let on = run(&mut Noticing::connect(&cluster), &statement, setting, true);
        let difference = compare(&off, &on);
        if difference.is_some() && is_early(&statement, &off, &on) {
            early += 1;
        } else if let Some(difference) = difference {
            let plan = rows(&mut session.client, &format!("EXPLAIN (COSTS OFF) {}", statement.parts[0]));
            panic!("seed {seed}, statement {number}: {setting} {:#?}\n{difference}\n{plan:#?}", statement.parts);
        }
        failed += usize::from(on.error.is_some());
        warned += usize::from(!on.notices.is_empty());
        if statement.is_explainable
            && let Ok(plan) = rows(&mut session.client, &format!("EXPLAIN {}", statement.parts[0]))
        {
            explained += 1;
            batched += usize::from(format!("{plan:?}").contains("ClipEmbed"));
        }
    }
    println!(
        "{STATEMENTS} statements: {batched} of {explained} plans batch, {failed} fail, {early} earlier, {warned} warn"
    );
    assert!(early < STATEMENTS / 20, "{early} fail earlier");
    assert!(batched * 2 > explained, "{batched} of {explained} plans have the node");
    assert!(failed > STATEMENTS / 20 && failed < STATEMENTS / 2, "{failed} fail");
    assert!(warned > STATEMENTS / 100, "{warned} warn");
    cluster.assert_sessions_survived();
}
