//! Nobody learns from the time of an answer what others have asked for.

use cluster_tests::{Cluster, counters, embed_image, embed_text, image};
use postgres::Client;

const SECRET: &str = "a merger with example corporation";

fn hits(witness: &mut Client) -> i64 {
    witness.query_one("SELECT cache_hits FROM clip_stat_server", &[]).unwrap().get(0)
}

/// How many of the texts that `work` asks for are answered from the server's memory.
fn from_memory(witness: &mut Client, work: impl FnOnce()) -> i64 {
    let before = hits(witness);
    work();
    hits(witness) - before
}

#[test]
fn remembered_texts_are_the_roles_own() {
    let cluster = Cluster::on_demand();
    let mut witness = cluster.connect();
    witness
        .batch_execute(
            "CREATE ROLE alice LOGIN; CREATE ROLE bob LOGIN; CREATE ROLE mallory LOGIN;
             CREATE SCHEMA mallory AUTHORIZATION mallory; GRANT USAGE ON SCHEMA mallory TO PUBLIC; SET ROLE mallory;
             CREATE FUNCTION mallory.embed(text) RETURNS real[] LANGUAGE sql SECURITY DEFINER
                 SET search_path = public AS 'SELECT clip_embed_text($1)::real[]'; RESET ROLE",
        )
        .unwrap();
    witness.batch_execute("CREATE DATABASE other").unwrap();
    cluster
        .connect_to("other", "postgres")
        .batch_execute("CREATE EXTENSION vector; CREATE EXTENSION clip_search")
        .unwrap();
    embed_text(&mut witness, "starts the server").unwrap();
    let asks = |database: &str, user: &str| {
        embed_text(&mut cluster.connect_to(database, user), SECRET).unwrap();
    };
    let asks_mallory = |user: &str| {
        cluster.connect_to("postgres", user).query_one("SELECT mallory.embed($1)", &[&SECRET]).unwrap();
    };
    assert_eq!(from_memory(&mut witness, || asks("postgres", "alice")), 0);
    assert_eq!(from_memory(&mut witness, || asks("postgres", "alice")), 1, "what she has asked for herself");
    assert_eq!(from_memory(&mut witness, || asks("postgres", "bob")), 0, "another role");
    assert_eq!(from_memory(&mut witness, || asks("other", "alice")), 0, "another database");
    assert_eq!(from_memory(&mut witness, || asks_mallory("alice")), 0, "somebody's function that she calls");
    assert_eq!(from_memory(&mut witness, || asks_mallory("bob")), 0, "what another has asked through a function");
    assert_eq!(from_memory(&mut witness, || asks_mallory("bob")), 1);
    cluster.assert_sessions_survived();
}

/// In a session that one user after the other is given.
#[test]
fn the_sessions_memory_is_the_roles_own() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    client.batch_execute("CREATE ROLE alice; CREATE ROLE bob").unwrap();
    let mut witness = cluster.connect();
    embed_text(&mut witness, "warm").unwrap();
    let mut requests = |client: &mut Client, role: &str| {
        client.batch_execute(&format!("SET ROLE {role}")).unwrap();
        let before = counters(&mut witness).requests;
        embed_text(client, SECRET).unwrap();
        embed_image(client, &image("exact.png")).unwrap();
        counters(&mut witness).requests - before
    };
    assert_eq!(requests(&mut client, "alice"), 2);
    assert_eq!(requests(&mut client, "alice"), 0, "remembered");
    assert_eq!(requests(&mut client, "bob"), 2, "nothing of another role's");
    assert_eq!(requests(&mut client, "alice"), 0);
}
