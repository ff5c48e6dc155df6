//! A hot standby answers too: embedding only reads.

use cluster_tests::{Cluster, StopMode, embed_text, wait_until};
use std::time::Duration;

#[test]
fn hot_standby_answers() {
    let primary = Cluster::on_demand();
    let expected = embed_text(&mut primary.connect(), "x").unwrap();
    for preload in [false, true] {
        let standby = Cluster::builder().preload(preload).start_standby_of(&primary);
        let mut client = standby.connect();
        let in_recovery: bool = client.query_one("SELECT pg_is_in_recovery()", &[]).unwrap().get(0);
        assert!(in_recovery);
        assert_eq!(embed_text(&mut client, "x").unwrap(), expected);
        assert_ne!(standby.server(), primary.server());
        for view in ["clip_stat_progress_embed", "clip_embed_errors", "clip_sync_status()", "clip_stat_server"] {
            client.query(&format!("SELECT * FROM {view}"), &[]).unwrap_or_else(|error| panic!("{view}: {error:?}"));
        }
        // A promotion does not disturb the server.
        let server = standby.server();
        client.query("SELECT pg_promote()", &[]).unwrap();
        assert_eq!(embed_text(&mut client, "x").unwrap(), expected);
        assert_eq!(standby.server(), server);
        drop(client);
        standby.stop(StopMode::Fast);
        wait_until("no server stays behind", Duration::from_secs(20), || standby.servers().is_empty());
        standby.assert_sessions_survived();
    }
}
