//! Rows that arrive through the coordinator are embedded where they lie.

use super::fixture::{RECOMMENDED, Shards, ids};
use cluster_tests::{image, wait_until};
use postgres::Client;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);
/// Rows whose embedding is right.
const DONE: &str = "SELECT count(*)::int FROM photos WHERE embedding = clip_embed_image(image)";

/// Tables `photos` without rows; `each` is said on every shard.
fn photos(cluster: &Shards, each: &str) -> Client {
    const COLUMNS: &str = "id int NOT NULL, image bytea, embedding vector(32)";
    let mut client = cluster.coordinator.connect();
    client.batch_execute(&format!("CREATE TABLE photos ({COLUMNS}) PARTITION BY HASH (id)")).unwrap();
    for (place, shard) in cluster.shards.iter().enumerate() {
        shard.connect().batch_execute(&format!("CREATE TABLE photos ({COLUMNS}, PRIMARY KEY (id)); {each}")).unwrap();
        client
            .batch_execute(&format!(
                "CREATE FOREIGN TABLE photos_{place} PARTITION OF photos FOR VALUES WITH (MODULUS 3, REMAINDER {place})
                     SERVER shard_{place} OPTIONS (table_name 'photos')"
            ))
            .unwrap();
    }
    client
}

fn upload(client: &mut Client) {
    let images = ["noise.png", "photo_420.jpg", "black.png"].map(image);
    for (id, image) in (1_i32..=30).zip(images.iter().cycle()) {
        client.execute("INSERT INTO photos (id, image) VALUES ($1, $2)", &[&id, image]).unwrap();
    }
}

/// Each shard has its rows, and its server has embedded them.
fn assert_spread(cluster: &Shards) {
    for shard in &cluster.shards {
        let mut client = shard.connect();
        assert!(ids(&mut client, "SELECT count(*)::int FROM photos")[0] > 3);
        assert!(ids(&mut client, "SELECT images::int FROM clip_stat_server")[0] > 0);
    }
}

#[test]
fn by_a_queue_on_each_shard() {
    let cluster = Shards::start(RECOMMENDED);
    let mut client = photos(&cluster, "SELECT clip_sync('photos', 'image', mode => 'queued')");
    upload(&mut client);
    wait_until("the queues to be worked off", LIMIT, || ids(&mut client, DONE) == [30]);
    assert_spread(&cluster);
    client.batch_execute("UPDATE photos SET image = (SELECT image FROM photos WHERE id = 1) WHERE id = 2").unwrap();
    let same =
        "SELECT count(*)::int FROM photos WHERE id = 2 AND embedding = (SELECT embedding FROM photos WHERE id = 1)";
    wait_until("the change to be embedded", LIMIT, || ids(&mut client, same) == [1]);
}

#[test]
fn by_a_trigger_on_each_shard() {
    let cluster = Shards::start(RECOMMENDED);
    let mut client = photos(&cluster, "SELECT clip_sync('photos', 'image')");
    upload(&mut client);
    assert_eq!(ids(&mut client, DONE), [30]);
    assert_spread(&cluster);
}

#[test]
fn by_a_backfill_on_each_shard() {
    let cluster = Shards::start(RECOMMENDED);
    let mut client = photos(&cluster, "");
    upload(&mut client);
    for shard in &cluster.shards {
        shard.connect().batch_execute("CALL clip_embed_table('photos', 'image')").unwrap();
    }
    assert_eq!(ids(&mut client, DONE), [30]);
    assert_spread(&cluster);
}

/// A trigger of the whole table embeds at the coordinator, and sends the embedding along.
#[test]
fn by_a_trigger_at_the_coordinator() {
    let cluster = Shards::start(RECOMMENDED);
    let mut client = photos(&cluster, "");
    client.batch_execute("SELECT clip_sync('photos', 'image')").unwrap();
    upload(&mut client);
    assert_eq!(ids(&mut client, DONE), [30]);
    client.batch_execute("UPDATE photos SET image = (SELECT image FROM photos WHERE id = 1) WHERE id = 2").unwrap();
    assert_eq!(ids(&mut client, DONE), [30]);
    assert!(cluster.shards.iter().all(|shard| shard.servers().is_empty()));
}
