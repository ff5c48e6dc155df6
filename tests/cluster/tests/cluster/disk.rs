//! No room, or no right, to write what the supervisor and the server write below the data directory.

use cluster_tests::{Cluster, DIMENSION, embed_text, report, wait_until};
use protocol::SocketPaths;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::Duration;

pub(crate) fn comes_to_work(cluster: &Cluster) {
    wait_until("it works where there is room", Duration::from_secs(30), || {
        embed_text(&mut cluster.connect(), "x").is_ok_and(|vector| vector.len() == DIMENSION)
    });
}

/// What the supervisor tells sessions of its state is of use, and not needed.
#[test]
fn no_room_for_the_state() {
    let cluster = Cluster::on_demand();
    // Made by the first call, with its owner.
    embed_text(&mut cluster.connect(), "x").unwrap();
    let draft = cluster.data().join(format!("{}.new", SocketPaths::STATE));
    symlink("/dev/full", &draft).unwrap();
    cluster.server().kill();
    comes_to_work(&cluster);
    cluster.wait_for_log(
        "WARNING:  clip_search: could not write \"pgsql_tmp_clip_search/supervisor.json\": No space left on device",
    );
    fs::remove_file(&draft).unwrap();
    cluster.server().kill();
    comes_to_work(&cluster);
    cluster.assert_sessions_survived();
}

#[test]
fn no_right_to_make_the_folder() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    fs::set_permissions(cluster.data(), Permissions::from_mode(0o500)).unwrap();
    assert_eq!(
        report(embed_text(&mut client, "x")),
        "58030: could not lock \"pgsql_tmp_clip_search/supervisor.lock\": Permission denied (os error 13)"
    );
    fs::set_permissions(cluster.data(), Permissions::from_mode(0o700)).unwrap();
    assert_eq!(embed_text(&mut client, "x").unwrap().len(), DIMENSION);
    cluster.assert_sessions_survived();
}

#[test]
fn no_right_to_make_the_socket() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    embed_text(&mut client, "x").unwrap();
    client.batch_execute("SET clip_search.start_timeout = '1s'").unwrap();
    let folder = cluster.data().join(SocketPaths::DIRECTORY);
    fs::set_permissions(&folder, Permissions::from_mode(0o500)).unwrap();
    cluster.server().kill();
    let said = report(embed_text(&mut client, "a new server needs a socket"));
    assert!(said.starts_with("08006: clip-search-server did not start within 1000 ms\nDETAIL: "), "{said}");
    cluster.wait_for_log("could not listen on \"pgsql_tmp_clip_search/server.sock\": Permission denied");
    fs::set_permissions(&folder, Permissions::from_mode(0o700)).unwrap();
    comes_to_work(&cluster);
    cluster.assert_sessions_survived();
}
