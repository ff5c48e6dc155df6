//! Recall and latency of each index, the ways in turn, so that what else the machine does falls on all of them alike.

use crate::build::{INDEXES, QUERIES, WANTED};
use crate::data::binary;
use anyhow::ensure;
use measure::{Samples, heading};
use postgres::types::private::BytesMut;
use postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use postgres::{Client, Config};
use std::error::Error;
use std::time::Instant;

/// How a search is made.
struct Way {
    index: &'static str,
    /// Rows that the index gives, of which the nearest are taken by the exact distance; 0 is without.
    candidates: u32,
    ef_search: u32,
    samples: Samples,
    found: usize,
}

/// A parameter of pgvector's type.
#[derive(Debug)]
struct Vector(Vec<f32>);

impl ToSql for Vector {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.extend_from_slice(&binary(&self.0));
        Ok(IsNull::No)
    }

    fn accepts(of_type: &Type) -> bool {
        of_type.name() == "vector"
    }

    to_sql_checked!();
}

/// The ways that are measured: index, candidates, `hnsw.ef_search`.
const WAYS: [(&str, u32, u32); 14] = [
    ("vector", 0, 40),
    ("vector", 0, 100),
    ("vector", 0, 200),
    ("vector", 0, 400),
    ("halfvec", 0, 40),
    ("halfvec", 20, 40),
    ("halfvec", 20, 100),
    ("halfvec", 20, 200),
    ("halfvec", 20, 400),
    ("bit", 0, 200),
    ("bit", 50, 50),
    ("bit", 100, 100),
    ("bit", 200, 200),
    ("bit", 400, 400),
];

/// The tables, in Markdown.
///
/// # Errors
/// What PostgreSQL says; and where a statement does not use the index that it is to measure.
pub fn query(config: &Config) -> anyhow::Result<String> {
    let mut client = measure::connect(config)?;
    let queries: Vec<(Vector, Vec<i32>)> = client
        .query("SELECT embedding::real[], nearest FROM queries ORDER BY id", &[])?
        .iter()
        .map(|row| (Vector(row.get(0)), row.get(1)))
        .collect();
    ensure!(queries.len() == QUERIES, "the table of queries has {} rows: build it anew", queries.len());
    let mut ways: Vec<Way> = WAYS
        .iter()
        .map(|&(index, candidates, ef_search)| Way {
            index,
            candidates,
            ef_search,
            samples: Samples::default(),
            found: 0,
        })
        .collect();
    client.batch_execute("SET plan_cache_mode = force_generic_plan; SET jit = off")?;
    let mut statements = Vec::new();
    for way in &ways {
        let sql = statement(way);
        let explain = format!("EXPLAIN {}", sql.replace("$1", "(SELECT embedding FROM queries LIMIT 1)"));
        let plan: Vec<String> = client.query(&explain, &[])?.iter().map(|row| row.get(0)).collect();
        ensure!(plan.join("\n").contains(&format!("photos_{}", way.index)), "not the index {}: {plan:#?}", way.index);
        statements.push(client.prepare(&sql)?);
    }
    // The first pass brings what is read into memory.
    for pass in 0..2 {
        for (number, (embedding, nearest)) in queries.iter().enumerate() {
            for turn in 0..ways.len() {
                let at = (turn + number) % ways.len();
                client.batch_execute(&format!("SET hnsw.ef_search = {}", ways[at].ef_search))?;
                let began = Instant::now();
                let rows = client.query(&statements[at], &[embedding])?;
                let time = began.elapsed();
                if pass == 1 {
                    ways[at].samples.push(time);
                    ways[at].found += rows.iter().filter(|row| nearest.contains(&row.get(0))).count();
                }
            }
        }
    }
    Ok(tables(&mut client, &ways)?)
}

fn statement(way: &Way) -> String {
    let order = match way.index {
        "halfvec" => "embedding::halfvec(512) <=> $1::vector::halfvec(512)",
        "bit" => "binary_quantize(embedding)::bit(512) <~> binary_quantize($1::vector)::bit(512)",
        _ => "embedding <=> $1::vector",
    };
    match way.candidates {
        0 => format!("SELECT id FROM photos ORDER BY {order} LIMIT {WANTED}"),
        candidates => format!(
            "SELECT id FROM (SELECT id, embedding <=> $1::vector AS distance FROM photos ORDER BY {order} \
             LIMIT {candidates}) AS found ORDER BY distance LIMIT {WANTED}"
        ),
    }
}

fn tables(client: &mut Client, ways: &[Way]) -> Result<String, postgres::Error> {
    let rows: i64 = client.query_one("SELECT count(*) FROM photos", &[])?.get(0);
    let table: i64 = client.query_one("SELECT pg_table_size('photos')", &[])?.get(0);
    let mut text = format!("{rows} rows of 512 dimensions; the table has {:.2} GiB.\n\n", gib(table));
    text += "| index | build, `vector` = 1 | memory of the build, GiB | size, GiB | size, `vector` = 1 |\n|---|--:|--:|--:|--:|\n";
    let mut first = None;
    for (name, definition) in INDEXES {
        let row = client.query_one(
            &format!("SELECT cpu, memory, pg_relation_size('photos_{name}') FROM builds WHERE name = $1"),
            &[&name],
        )?;
        let (cpu, memory, size): (f64, f64, i64) = (row.get(0), row.get(1), row.get(2));
        let (first_cpu, first_size) = *first.get_or_insert((cpu, size));
        text += &format!(
            "| `{definition}` | {:.2} | {:.2} | {:.2} | {:.2} |\n",
            cpu / first_cpu,
            memory / 1024.0,
            gib(size),
            size as f64 / first_size as f64
        );
    }
    text += "\n| index | candidates | `hnsw.ef_search` | recall@10 | latency, median | latency, p95 |\n|---|--:|--:|--:|--:|--:|\n";
    let base = ways[0].samples.median();
    for way in ways {
        let candidates = if way.candidates == 0 { "–".to_owned() } else { way.candidates.to_string() };
        text += &format!(
            "| {} | {candidates} | {} | {:.3} | {:.2} | {:.2} |\n",
            way.index,
            way.ef_search,
            way.found as f64 / (QUERIES * WANTED) as f64,
            way.samples.median() / base,
            way.samples.p95() / base
        );
    }
    heading("Latency");
    println!("1 is {base:.2} ms on this machine");
    Ok(text)
}

fn gib(bytes: i64) -> f64 {
    bytes as f64 / f64::from(1 << 30)
}
