//! Requests that their sessions give up while others go on: nothing of them stays in the server.

use cluster_tests::{
    Cluster, DIMENSION, Gate, Load, MODEL, Process, Request, backend_pid, embed_image, embed_text, image, refusal,
    wait_out_cancel, wait_until,
};
use postgres::{Client, NoTls};
use std::thread;
use std::time::{Duration, Instant};

/// The generous bound of what should be immediate.
const SOON: Duration = Duration::from_secs(20);

/// A server that has texts answered, and images wait for the model.
struct Server {
    cluster: Cluster,
    witness: Client,
    at_rest: Load,
    gate: Gate,
}

impl Server {
    fn start() -> Self {
        let cluster = Cluster::builder().set("client_connection_check_interval", "100ms").start();
        let mut witness = cluster.connect();
        embed_text(&mut witness, "warm").unwrap();
        let gate = Gate::before(&cluster.models().join(MODEL).join("onnx/vision_model.onnx"));
        let at_rest = Load::of(&mut witness);
        Self { cluster, witness, at_rest, gate }
    }

    /// A request for an image, once the server loads the model for it.
    fn request(&mut self, client: Client) -> Request {
        let request = Request::image(client, image("photo_444.jpg"));
        self.is_under_way();
        request
    }

    fn is_under_way(&mut self) {
        let (in_flight, bytes) = (self.at_rest.in_flight + 1, self.at_rest.queue_bytes);
        Load::wait_for(&mut self.witness, "the request is under way", |load| {
            load.in_flight == in_flight && load.queue_bytes > bytes
        });
        self.gate.wait();
    }

    /// Others are answered all the time; and what was given up leaves the server though its model is still being
    /// loaded. When it is there, everybody gets images too.
    fn forgets(mut self) {
        let at_rest = self.at_rest;
        assert_eq!(embed_text(&mut self.witness, "somebody else").unwrap().len(), DIMENSION);
        Load::wait_for(&mut self.witness, "nothing is left of the request", |load| load == at_rest);
        self.gate.open();
        assert_eq!(embed_image(&mut self.cluster.connect(), &image("photo_444.jpg")).unwrap().len(), DIMENSION);
        Load::wait_for(&mut self.witness, "nothing is left of any request", |load| load == at_rest);
        self.cluster.assert_sessions_survived();
    }
}

fn refused_soon(request: Request, since: Instant, sqlstate: &str) {
    let (mut client, result) = request.join();
    let error = refusal(result);
    assert_eq!(error.code().code(), sqlstate, "{error:?}");
    assert!(since.elapsed() < SOON, "{:?}", since.elapsed());
    wait_out_cancel(&mut client);
    client.batch_execute("RESET ALL").unwrap();
    assert_eq!(embed_text(&mut client, "the same session").unwrap().len(), DIMENSION);
}

#[test]
fn cancelled() {
    let mut server = Server::start();
    let client = server.cluster.connect();
    let token = client.cancel_token();
    let request = server.request(client);
    let since = Instant::now();
    token.cancel_query(NoTls).unwrap();
    refused_soon(request, since, "57014");
    server.forgets();
}

#[test]
fn timed_out() {
    for (setting, sqlstate) in [("statement_timeout", "57014"), ("clip_search.request_timeout", "53000")] {
        let mut server = Server::start();
        let mut client = server.cluster.connect();
        client.batch_execute(&format!("SET {setting} = '8s'")).unwrap();
        let since = Instant::now();
        let request = server.request(client);
        refused_soon(request, since + Duration::from_secs(8), sqlstate);
        server.forgets();
    }
}

#[test]
fn terminated() {
    let mut server = Server::start();
    let mut client = server.cluster.connect();
    let backend = backend_pid(&mut client);
    let request = server.request(client);
    let since = Instant::now();
    server.witness.execute("SELECT pg_terminate_backend($1)", &[&backend]).unwrap();
    // The driver may see the end of the connection before the reason.
    let (_, result) = request.join();
    assert!(result.is_err() && since.elapsed() < SOON, "{result:?}");
    wait_until("the backend is gone", SOON, || !Process(backend).runs());
    server.forgets();
}

/// PostgreSQL is told to look whether its clients are still there.
#[test]
fn disconnected() {
    let mut server = Server::start();
    server.witness.batch_execute("CREATE TABLE images (image bytea)").unwrap();
    server.witness.execute("INSERT INTO images VALUES ($1)", &[&image("photo_444.jpg")]).unwrap();
    let query = "SELECT clip_embed_image(image) FROM images";
    let mut psql = server.cluster.psql().args(["-c", query]).spawn().unwrap();
    server.is_under_way();
    psql.kill().unwrap();
    psql.wait().unwrap();
    server.forgets();
}

/// The session itself is killed, which restarts all of them; the server stays, and has nothing left to do for them.
#[test]
fn killed() {
    let mut server = Server::start();
    let mut client = server.cluster.connect();
    let backend = backend_pid(&mut client);
    let (request, process) = (server.request(client), server.cluster.server());
    Process(backend).kill();
    assert!(request.join().1.is_err());
    server.cluster.wait_for_log("all server processes terminated; reinitializing");
    wait_until("the server leaves with its supervisor", Duration::from_secs(10), || !process.runs());
    wait_until("the cluster accepts sessions", Duration::from_secs(20), || {
        server.cluster.psql().args(["-c", "SELECT 1"]).output().unwrap().status.success()
    });
    server.gate.lift();
    assert_eq!(embed_image(&mut server.cluster.connect(), &image("photo_444.jpg")).unwrap().len(), DIMENSION);
}

/// Many items that wait for the device: those of the session that gives up leave the queue, the others' are answered.
#[test]
fn many_items() {
    let cluster = Cluster::builder()
        .set("clip_search.threads", 1)
        .set("clip_search.max_batch", 256)
        .set("clip_search.bulk_step_ms", 1)
        .set("clip_search.text_cache_size", 0)
        .start();
    let mut witness = cluster.connect();
    embed_text(&mut witness, "warm").unwrap();
    let at_rest = Load::of(&mut witness);
    let bulk = |mut client: Client, texts: u32| {
        let statement = format!(
            "SELECT cardinality(clip_embed_texts(array_agg('of {texts}, number ' || i))) FROM generate_series(1, {texts}) i"
        );
        thread::spawn(move || client.query_one(&statement, &[]).map(|row| row.get::<_, i32>(0)))
    };
    let mut doomed = cluster.connect();
    let (backend, token) = (backend_pid(&mut doomed), doomed.cancel_token());
    let doomed = bulk(doomed, 1_000_000);
    cluster.wait_for_waiting(backend);
    let others: Vec<_> = [6_000, 7_000].into_iter().map(|texts| (texts, bulk(cluster.connect(), texts))).collect();
    Load::wait_for(&mut witness, "items of more than one session wait", |load| {
        load.in_flight >= at_rest.in_flight + 2 && load.queue_items > 0 && load.queue_bytes > at_rest.queue_bytes
    });
    let since = Instant::now();
    token.cancel_query(NoTls).unwrap();
    let error = refusal(doomed.join().unwrap());
    assert_eq!(error.code().code(), "57014", "{error:?}");
    assert!(since.elapsed() < SOON, "{:?}", since.elapsed());
    for (texts, other) in others {
        assert_eq!(other.join().unwrap().unwrap(), texts as i32);
    }
    Load::wait_for(&mut witness, "nothing is left of any request", |load| load == at_rest);
    cluster.assert_sessions_survived();
}
