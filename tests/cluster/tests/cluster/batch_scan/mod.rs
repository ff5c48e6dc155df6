//! Plain SQL that batches by itself: the same as without, also in trouble.

mod fuzz;
mod grammar;
mod need;
mod tables;
mod trouble;

use cluster_tests::{Cluster, Notices};
use postgres::Client;

/// A session, and what it was told besides results.
struct Noticing {
    client: Client,
    notices: Notices,
}

impl Noticing {
    fn connect(cluster: &Cluster) -> Self {
        let (client, notices) = cluster.connect_with_notices();
        Self { client, notices }
    }
}

/// Whether two texts differ in the last digits of numbers only: a model rounds otherwise in a batch.
fn close(a: &str, b: &str) -> bool {
    let is_part = |c: char| c.is_ascii_digit() || ".-+e".contains(c);
    let (mut a_parts, mut b_parts) = (a.split(|c| !is_part(c)), b.split(|c| !is_part(c)));
    let number = |part: &str| part.contains('.').then(|| part.parse::<f64>().ok()).flatten();
    let mut numbers = 0;
    loop {
        match (a_parts.next(), b_parts.next()) {
            (None, None) => return numbers > 0,
            (Some(a), Some(b)) if a == b => {}
            (Some(a), Some(b)) => match (number(a), number(b)) {
                (Some(a), Some(b)) if (a - b).abs() < 1e-5 => numbers += 1,
                _ => return false,
            },
            _ => return false,
        }
    }
}
