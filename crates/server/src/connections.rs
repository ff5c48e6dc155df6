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
    /// A place, if fewer than `max` are taken, or one that has had nothing to do for longest can make way; the second
    /// value says whether one had to.
    pub(crate) fn enter(self: &Arc<Self>, max: usize) -> (Option<Place>, bool) {
        let mut state = self.0.lock().expect("no panic while held");
        let staying = state.open.values().filter(|connection| !connection.leaving).count();
        let mut made_room = false;
        if staying >= max {
            let resting = state.open.values_mut().filter(|connection| !connection.leaving);
            let longest = resting.filter(|connection| connection.rests()).min_by_key(|one| one.resting);
            let Some(longest) = longest else { return (None, false) };
            longest.leaving = true;
            longest.wanted.notify_one();
            made_room = true;
        }
        let (number, wanted) = (state.next, Arc::<Notify>::default());
        state.next += 1;
        let (resting, leaving) = (Some(Instant::now()), false);
        let connection = Connection { is_new: true, resting, wanted: Arc::clone(&wanted), leaving };
        state.open.insert(number, connection);
        (Some(Place { number, wanted, connections: Arc::clone(self) }), made_room)
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
        let places: Vec<Place> = (0..3).map(|_| connections.enter(3).0.unwrap()).collect();
        assert!(matches!(connections.enter(3), (None, false)), "all are about to ask something");
        for place in &places {
            assert!(place.work());
        }
        places[1].rest();
        places[2].rest();
        let (fourth, made_room) = connections.enter(3);
        assert!(fourth.is_some() && made_room);
        assert!(!places[1].work(), "it was told to leave");
        assert!(places[2].work());
        assert!(fourth.as_ref().unwrap().work());
        assert!(matches!(connections.enter(3), (None, false)), "all are at work");
        places[0].rest();
        assert!(matches!(connections.enter(3), (Some(_), true)));
        drop((places, fourth));
        assert!(connections.0.lock().unwrap().open.is_empty());
    }
}
