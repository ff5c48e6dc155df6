//! What the server has to do.

use postgres::Client;
use std::thread;
use std::time::{Duration, Instant};

/// What `clip_stat_server` says of this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Requests under way.
    pub in_flight: i64,
    /// Items that wait for the device.
    pub queue_items: i64,
    /// Bytes of requests accepted and not answered.
    pub queue_bytes: i64,
    /// Requests that wait for room.
    pub waiting: i64,
}

impl Load {
    /// Asks the server.
    pub fn of(client: &mut Client) -> Self {
        let query = "SELECT in_flight, queue_items, queue_bytes, waiting FROM clip_stat_server";
        let row = client.query_one(query, &[]).expect("clip_stat_server");
        Self { in_flight: row.get(0), queue_items: row.get(1), queue_bytes: row.get(2), waiting: row.get(3) }
    }

    /// Asks again and again until the answer is accepted.
    ///
    /// # Panics
    /// Where it is not in half a minute.
    pub fn wait_for(client: &mut Client, what: &str, accept: impl Fn(Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let seen = Self::of(client);
            if accept(seen) {
                return;
            }
            assert!(Instant::now() < deadline, "{what}, but it has {seen:?}");
            thread::sleep(Duration::from_millis(10));
        }
    }
}
