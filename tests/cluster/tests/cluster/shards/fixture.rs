//! A coordinator with a partitioned table, the partitions of which are foreign tables on three other clusters.

use cluster_tests::{Cluster, PORT};
use postgres::Client;

/// What the documentation recommends for a server.
pub const RECOMMENDED: &str = "options '-c hnsw.iterative_scan=strict_order -c hnsw.ef_search=400 -c jit=off'";

/// The columns of the table, everywhere.
pub const COLUMNS: &str = "id int NOT NULL, shop int, name text, tags text[], info jsonb, embedding vector(32)";

/// Three clusters and one that reads them.
pub struct Shards {
    pub coordinator: Cluster,
    pub shards: Vec<Cluster>,
}

impl Shards {
    /// With the servers `shard_0` to `shard_2`, and no tables.
    pub fn start(options: &str) -> Self {
        let shards: Vec<Cluster> = (0..3).map(|_| Cluster::on_demand()).collect();
        let coordinator = Cluster::on_demand();
        let mut client = coordinator.connect();
        client.batch_execute("CREATE EXTENSION postgres_fdw").unwrap();
        let options = if options.is_empty() { String::new() } else { format!(", {options}") };
        for (place, shard) in shards.iter().enumerate() {
            let host = shard.sockets();
            client
                .batch_execute(&format!(
                    "CREATE SERVER shard_{place} FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '{}', port '{PORT}',
                         dbname 'postgres', extensions 'vector', async_capable 'true', fetch_size '50', batch_size '100'{options});
                     CREATE USER MAPPING FOR PUBLIC SERVER shard_{place} OPTIONS (user 'postgres', password_required 'false')",
                    host.display()
                ))
                .unwrap();
        }
        Self { coordinator, shards }
    }

    /// The table `things` by the hash of `key`: one partition on each shard, one here, all with a vector index, and 1,500 rows;
    /// and `whole`, with the same rows, a primary key and no vector index.
    pub fn fill(&self, key: &str) -> Client {
        for shard in &self.shards {
            shard
                .connect()
                .batch_execute(&format!(
                    "CREATE TABLE things ({COLUMNS}, PRIMARY KEY (id));
                     CREATE INDEX ON things USING hnsw (embedding vector_cosine_ops)"
                ))
                .unwrap();
        }
        let mut client = self.coordinator.connect();
        client.batch_execute(&format!("CREATE TABLE things ({COLUMNS}) PARTITION BY HASH ({key})")).unwrap();
        for place in 0..self.shards.len() {
            client
                .batch_execute(&format!(
                    "CREATE FOREIGN TABLE things_{place} PARTITION OF things FOR VALUES WITH (MODULUS 4, REMAINDER {place})
                         SERVER shard_{place} OPTIONS (table_name 'things')"
                ))
                .unwrap();
        }
        client
            .batch_execute(&format!(
                "CREATE TABLE things_here PARTITION OF things FOR VALUES WITH (MODULUS 4, REMAINDER 3);
                 CREATE INDEX ON things_here USING hnsw (embedding vector_cosine_ops);
                 CREATE TABLE whole ({COLUMNS}, PRIMARY KEY (id));
                 SELECT setseed(0.5);
                 INSERT INTO whole SELECT i, i % 10, 'thing ' || i % 7, ARRAY['tag ' || i % 5, 'all'],
                     jsonb_build_object('rank', i % 3),
                     (SELECT array_agg(random() - 0.5 + 0 * (i + j))::vector FROM generate_series(1, 32) AS j)
                   FROM generate_series(1, 1500) AS i;
                 UPDATE whole SET embedding = NULL WHERE id % 100 = 0;
                 UPDATE whole SET shop = NULL WHERE id % 50 = 1;
                 INSERT INTO things SELECT * FROM whole"
            ))
            .unwrap();
        for shard in &self.shards {
            shard.connect().batch_execute("ANALYZE things").unwrap();
        }
        // How many rows a filter leaves is not known of foreign tables unless they are analyzed. The index here is to miss
        // nothing, either.
        client.batch_execute("ANALYZE things; SELECT '[1]'::vector; SET hnsw.ef_search = 400").unwrap();
        client
    }
}

/// The ids of a statement's rows.
pub fn ids(client: &mut Client, query: &str) -> Vec<i32> {
    let rows = client.query(query, &[]).unwrap_or_else(|error| panic!("{query}\n{error:?}"));
    rows.iter().map(|row| row.get(0)).collect()
}
