//! What errors tell of the machine.

use cluster_tests::{Cluster, refusal};

/// Whoever starts PostgreSQL with RUST_BACKTRACE wants to know more, and not that everybody does.
#[test]
fn errors_have_no_backtraces() {
    for preload in [false, true] {
        let cluster = Cluster::builder().preload(preload).env("RUST_BACKTRACE", "1").start();
        let mut client = cluster.connect();
        client.batch_execute("CREATE TABLE captions (id integer PRIMARY KEY, caption text, embedding vector)").unwrap();
        for statement in [
            // Of the server, of an argument, of PostgreSQL's that has crossed the library, of a trigger.
            "SELECT clip_embed_image('no image')",
            "SELECT clip_embed_text('x', 'no/model')",
            "SELECT clip_search('captions', NULL::text)",
            "SELECT clip_search('captions', 'x', filter => '{\"id\": \"no number\"}')",
            "SELECT clip_embed_trigger()",
            "INSERT INTO captions VALUES (1, 'x', clip_embed_text(convert_from('\\xff', 'UTF8')))",
        ] {
            let error = refusal(client.batch_execute(statement));
            let detail = error.detail().unwrap_or_default();
            assert!(!detail.contains("clip_search::") && !detail.contains(".rs"), "{statement}: {detail}");
            let all = format!("{:?} {:?} {:?}", error.message(), error.detail(), error.where_());
            assert!(!all.contains("/src/"), "{statement}: {all}");
            assert!(!error.file().unwrap_or_default().starts_with('/'), "{statement}: {:?}", error.file());
        }
        cluster.assert_sessions_survived();
    }
}
