//! Attacks by roles without privileges: each ends with the rights that it began with.

mod backtrace;
mod lookalike;
mod owner;
mod rename;
mod script;
mod types;

use cluster_tests::Cluster;
use postgres::Client;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

/// A role that owns the database, and what its functions note of who has called them.
const MALLORY: &str = "CREATE ROLE mallory LOGIN;
    GRANT CREATE ON SCHEMA public TO mallory;
    CREATE SCHEMA own AUTHORIZATION mallory;
    GRANT USAGE ON SCHEMA own TO PUBLIC;
    SET ROLE mallory;
    CREATE TABLE own.calls (who text, what text);
    GRANT INSERT ON own.calls TO PUBLIC;
    CREATE FUNCTION own.note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO own.calls VALUES (current_user, concat_ws(' ', TG_OP, TG_RELID::regclass));
        IF (SELECT r.rolsuper FROM pg_roles AS r WHERE r.rolname = current_user) THEN ALTER ROLE mallory SUPERUSER; END IF;
        RETURN NULL;
    END $$;
    RESET ROLE";

/// A cluster whose database `postgres` belongs to mallory.
fn cluster() -> (Cluster, Client, Client) {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    client.batch_execute(MALLORY).unwrap();
    client.batch_execute("ALTER DATABASE postgres OWNER TO mallory").unwrap();
    let mallory = cluster.connect_to("postgres", "mallory");
    (cluster, client, mallory)
}

fn one<T: for<'a> postgres::types::FromSql<'a>>(client: &mut Client, query: &str) -> T {
    client.query_one(query, &[]).unwrap_or_else(|error| panic!("{query}: {error:?}")).get(0)
}

fn number(client: &mut Client, query: &str) -> i64 {
    one(client, query)
}

/// Fails where a function of mallory's was run by anybody else.
fn assert_nothing_gained(client: &mut Client) {
    let calls =
        "SELECT coalesce(string_agg(DISTINCT who || ': ' || what, '; '), '') FROM own.calls WHERE who <> 'mallory'";
    assert_eq!(one::<String>(client, calls), "", "mallory's functions were run by others");
    assert!(!one::<bool>(client, "SELECT rolsuper FROM pg_roles WHERE rolname = 'mallory'"), "mallory is a superuser");
}
