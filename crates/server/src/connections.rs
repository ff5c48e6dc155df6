//! How many connections are open, and which makes way for another: sessions keep theirs for their whole life, and most do
//! nothing with it. A session whose connection was closed opens another with its next request.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// A new connection is about to ask something. For so long it is not taken for one that rests.
const GRACE: Duration = Duration::from_secs(2);

/// All connections.
#[derive(Default)]
pub(crate) struct Connections(Mutex<State>);

#[derive(Default)]
struct State {
    next: u64,
    open: HashMap<u64, Connection>,
}

struct Connection {
    /// Whether it has asked anything yet.
    is_new: bool,
    /// Since when it has had nothing to do; `None` while it has.
    resting: Option<Instant>,
    wanted: Arc<Notify>,
    /// Told to make way.
    leaving: bool,
}

impl Connection {
    fn rests(&self) -> bool {
        self.resting.is_some_and(|since| !self.is_new || since.elapsed() > GRACE)
    }
}

/// A connection's place among them; left when dropped.
pub(crate) struct Place {
    number: u64,
    wanted: Arc<Notify>,
    connections: Arc<Connections>,
}

impl Connections {
    /// A place, if fewer than `max` are taken, or as many of those that have had nothing to do for longest can make way.
    pub(crate) fn enter(self: &Arc<Self>, max: usize) -> Option<Place> {
        let mut state = self.0.lock().expect("no panic while held");
        while state.open.values().filter(|connection| !connection.leaving).count() >= max {
            let resting = state.open.values_mut().filter(|connection| !connection.leaving && connection.rests());
            let longest = resting.min_by_key(|connection| connection.resting)?;
            longest.leaving = true;
            longest.wanted.notify_one();
        }
        let (number, wanted) = (state.next, Arc::<Notify>::default());
        state.next += 1;
        let (resting, leaving) = (Some(Instant::now()), false);
        let connection = Connection { is_new: true, resting, wanted: Arc::clone(&wanted), leaving };
        state.open.insert(number, connection);
        Some(Place { number, wanted, connections: Arc::clone(self) })
    }
}

impl Place {
    /// Begins with a request; false where the place was given away a moment ago.
    pub(crate) fn work(&self) -> bool {
        let mut state = self.connections.0.lock().expect("no panic while held");
        let Some(connection) = state.open.get_mut(&self.number).filter(|connection| !connection.leaving) else {
            return false;
        };
        (connection.is_new, connection.resting) = (false, None);
        true
    }

    /// Is done with a request.
    pub(crate) fn rest(&self) {
        let mut state = self.connections.0.lock().expect("no panic while held");
        if let Some(connection) = state.open.get_mut(&self.number) {
            connection.resting = Some(Instant::now());
        }
    }

    /// Waits until another connection needs the place.
    pub(crate) async fn wanted(&self) {
        self.wanted.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.0.lock().expect("no panic while held").open.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_that_rests_longest_makes_way() {
        let connections = Arc::new(Connections::default());
        let places: Vec<Place> = (0..3).map(|_| connections.enter(3).unwrap()).collect();
        assert!(connections.enter(3).is_none(), "all are about to ask something");
        for place in &places {
            assert!(place.work());
        }
        places[1].rest();
        places[2].rest();
        let fourth = connections.enter(3).unwrap();
        assert!(!places[1].work(), "it was told to leave");
        assert!(places[2].work());
        assert!(fourth.work());
        assert!(connections.enter(3).is_none(), "all are at work");
        places.iter().for_each(Place::rest);
        fourth.rest();
        let fifth = connections.enter(2).unwrap();
        let staying = |place: &&Place| place.work();
        assert_eq!(places.iter().chain([&fourth]).filter(staying).count(), 1, "fewer may stay than before");
        drop(fifth);
        drop((places, fourth));
        assert!(connections.0.lock().unwrap().open.is_empty());
    }
}
