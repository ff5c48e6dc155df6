//! The recipes of docs/scaling.md, in their order. A comment before a block says where it runs.

use super::fixture::ids;
use cluster_tests::{Cluster, MODEL, PORT, image, wait_until};
use postgres::Client;
use std::path::Path;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

/// Where each block runs, and its statements.
fn blocks() -> Vec<(String, Vec<String>)> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/scaling.md");
    let page = std::fs::read_to_string(page).unwrap();
    let block = |block: &str| {
        let (place, rest) = block.split_once(" -->\n```sql\n").expect("SQL after the comment");
        let sql = rest.split("```").next().unwrap();
        (
            place.to_owned(),
            sql.split(";\n").map(str::to_owned).filter(|statement| !statement.trim().is_empty()).collect(),
        )
    };
    page.split("<!-- test: ").skip(1).map(block).collect()
}

/// With the model and the servers of the tests in place of the page's.
fn adapted(statement: &str, hosts: &[(&str, &Cluster)]) -> String {
    let mut adapted = statement.replace("openai/clip-vit-base-patch32", MODEL).replace("vector(512)", "vector(32)");
    for (host, cluster) in hosts {
        let folder = cluster.sockets().display().to_string();
        adapted = adapted.replace(&format!("host={host}"), &format!("host={folder} port={PORT}"));
        adapted = adapted.replace(host, &folder);
    }
    adapted.replace("port '5432'", &format!("port '{PORT}'"))
}

#[test]
fn the_recipes_work() {
    let clusters: Vec<Cluster> = (0..3).map(|_| Cluster::on_demand()).collect();
    let [coordinator, first, second] = &clusters[..] else { unreachable!("three") };
    let hosts = [("gpu-1.example.org", first), ("shard-1.example.org", first), ("shard-2.example.org", second)];
    first.connect().batch_execute("CREATE ROLE photos LOGIN").unwrap();
    let run = |client: &mut Client, statements: &[String]| {
        for statement in statements {
            let statement = adapted(statement, &hosts);
            client.simple_query(&statement).unwrap_or_else(|error| panic!("{statement}\n{error:?}"));
        }
    };
    let mut client = coordinator.connect();
    let blocks = blocks();
    assert!(blocks.len() >= 7, "{}", blocks.len());
    let (here, others): (Vec<_>, Vec<_>) = blocks.iter().partition(|(place, _)| place == "here");
    here.iter().for_each(|(_, statements)| run(&mut client, statements));
    for cluster in &clusters {
        cluster.connect().batch_execute("DROP EXTENSION clip_search; DROP EXTENSION vector").unwrap();
    }
    for (place, statements) in others {
        match place.as_str() {
            "shards" => [first, second].iter().for_each(|shard| run(&mut shard.connect(), statements)),
            "coordinator" => run(&mut client, statements),
            "upload" => {
                for bytes in ["noise.png", "photo_420.jpg", "black.png"].iter().cycle().take(20).map(|name| image(name))
                {
                    client.execute(statements[0].as_str(), &[&bytes]).unwrap();
                }
                let done = "SELECT count(embedding)::int FROM images";
                wait_until("the uploads to be embedded", LIMIT, || ids(&mut client, done) == [20]);
                for shard in [first, second] {
                    assert!(ids(&mut shard.connect(), "SELECT count(*)::int FROM images")[0] > 3);
                }
                assert_eq!(
                    ids(&mut client, "SELECT count(*)::int FROM clip_search('images', 'a dog', id_column => 'id')"),
                    [10]
                );
            }
            "compare" => {
                let statement = adapted(&statements[0], &hosts);
                let worst: f64 = client.query_one(&statement, &[]).unwrap().get(0);
                assert!(worst > 0.9999, "{worst}");
            }
            place => panic!("no such place: {place}"),
        }
    }
}
