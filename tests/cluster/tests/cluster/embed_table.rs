//! Filling a table: several sessions at once, and what is left when one is stopped in the middle.

use cluster_tests::{Cluster, backend_pid, image, refusal, wait_out_cancel, wait_until};
use postgres::{Client, NoTls};
use std::thread::{self, JoinHandle};
use std::time::Duration;

const ROWS: i64 = 300;
const LIMIT: Duration = Duration::from_secs(60);

/// A table of captions, of which each notes when it is written and by whom. Those after the second batch wait at a gate.
fn table(client: &mut Client) {
    client
        .batch_execute(&format!(
            "CREATE TABLE captions (id integer PRIMARY KEY, caption text, embedding vector);
             CREATE TABLE written (id integer, pid integer);
             CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 IF NEW.id > 40 THEN PERFORM pg_advisory_xact_lock_shared(7); END IF;
                 INSERT INTO written VALUES (NEW.id, pg_backend_pid());
                 RETURN NEW;
             END $$;
             CREATE TRIGGER note BEFORE UPDATE ON captions FOR EACH ROW EXECUTE FUNCTION note();
             INSERT INTO captions SELECT n, 'caption ' || n FROM generate_series(1, {ROWS}) AS n"
        ))
        .unwrap();
}

fn fill(mut client: Client) -> JoinHandle<(Client, Result<(), postgres::Error>)> {
    thread::spawn(move || {
        let outcome = client.batch_execute("CALL clip_embed_table('captions', 'caption', batch_size => 20)");
        (client, outcome)
    })
}

fn number(client: &mut Client, query: &str) -> i64 {
    client.query_one(query, &[]).unwrap().get(0)
}

/// What rows wait for while it is closed.
struct Gate(Client);

impl Gate {
    fn closed(cluster: &Cluster) -> Self {
        let mut keeper = cluster.connect();
        keeper.execute("SELECT pg_advisory_lock(7)", &[]).unwrap();
        Self(keeper)
    }

    /// Waits until so many sessions stand before it, with two batches behind them.
    fn wait_for(&mut self, sessions: i64) {
        self.wait_for_lock("advisory", sessions);
    }

    fn wait_for_lock(&mut self, kind: &str, waiting: i64) {
        let query = format!("SELECT count(*) FROM pg_locks WHERE locktype = '{kind}' AND NOT granted");
        wait_until("sessions wait", LIMIT, || number(&mut self.0, &query) == waiting);
    }

    fn open(mut self) {
        self.0.execute("SELECT pg_advisory_unlock(7)", &[]).unwrap();
    }
}

/// Every row has its own embedding, and none was written twice.
fn assert_each_done_once(client: &mut Client) {
    assert_eq!(number(client, "SELECT count(*) FROM captions WHERE embedding IS NULL"), 0);
    assert_eq!(number(client, "SELECT count(*) FROM written"), ROWS);
    assert_eq!(number(client, "SELECT count(DISTINCT id) FROM written"), ROWS);
    let wrong = "SELECT count(*) FROM captions WHERE embedding <> clip_embed_text(caption)";
    assert_eq!(number(client, wrong), 0);
}

#[test]
fn two_sessions_share_the_work() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    table(&mut client);
    let mut gate = Gate::closed(&cluster);
    let sessions = [fill(cluster.connect()), fill(cluster.connect())];
    gate.wait_for(2);
    gate.open();
    for session in sessions {
        session.join().unwrap().1.unwrap();
    }
    assert_each_done_once(&mut client);
    assert_eq!(number(&mut client, "SELECT count(DISTINCT pid) FROM written"), 2);
    cluster.assert_sessions_survived();
}

#[test]
fn progress_is_seen_and_ends_with_the_session() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    table(&mut client);
    client.batch_execute("CREATE ROLE other LOGIN").unwrap();
    let mut working = cluster.connect();
    let backend = backend_pid(&mut working);
    let mut gate = Gate::closed(&cluster);
    let session = fill(working);
    gate.wait_for(1);
    let query = "SELECT pid, relid::text, phase, rows_total, rows_done > 0 AND rows_done < rows_total
                   FROM clip_stat_progress_embed";
    let row = client.query_one(query, &[]).unwrap();
    let text = |index| row.get::<_, String>(index);
    assert_eq!((row.get::<_, i32>(0), text(2).as_str(), row.get::<_, i64>(3)), (backend, "embedding rows", ROWS));
    assert!(row.get::<_, bool>(4));
    // As in pg_stat_activity, what others do is not for everybody.
    let mut other = cluster.connect_to("postgres", "other");
    assert_eq!(number(&mut other, "SELECT count(*) FROM clip_stat_progress_embed"), 0);
    client.execute("SELECT pg_terminate_backend($1)", &[&backend]).unwrap();
    // Whether the client reads the reason before it sees that the connection is closed is a matter of luck.
    session.join().unwrap().1.unwrap_err();
    cluster.wait_for_log("terminating connection due to administrator command");
    // It says so, and then it ends.
    wait_until("its end is seen", LIMIT, || number(&mut client, "SELECT count(*) FROM clip_stat_progress_embed") == 0);
    let before = number(&mut client, "SELECT count(embedding) FROM captions");
    assert!(before > 0 && before < ROWS, "{before}");
    gate.open();
    fill(cluster.connect()).join().unwrap().1.unwrap();
    assert_each_done_once(&mut client);
    assert_eq!(number(&mut client, "SELECT count(*) FROM clip_search_internal.clip_embed_progress_data"), 0);
}

#[test]
fn cancelled_and_called_again() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    table(&mut client);
    let working = cluster.connect();
    let token = working.cancel_token();
    let mut gate = Gate::closed(&cluster);
    let session = fill(working);
    gate.wait_for(1);
    token.cancel_query(NoTls).unwrap();
    let (mut working, outcome) = session.join().unwrap();
    assert_eq!(refusal(outcome).code().code(), "57014");
    wait_out_cancel(&mut working);
    assert_eq!(number(&mut client, "SELECT count(*) FROM clip_stat_progress_embed"), 0);
    let before = number(&mut client, "SELECT count(embedding) FROM captions");
    assert!(before > 0 && before < ROWS, "{before}");
    gate.open();
    fill(working).join().unwrap().1.unwrap();
    assert_each_done_once(&mut client);
}

#[test]
fn goes_on_when_the_server_is_killed() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    table(&mut client);
    let mut gate = Gate::closed(&cluster);
    let mut working = cluster.connect();
    let backend = backend_pid(&mut working);
    let session = fill(working);
    gate.wait_for(1);
    // A batch is under way when it is killed.
    let server = cluster.server();
    server.freeze();
    gate.open();
    cluster.wait_for_waiting(backend);
    server.kill();
    let (working, outcome) = session.join().unwrap();
    // Batches under way are sent once more; a second end under them would be an error, and nothing lost.
    outcome.unwrap();
    drop(working);
    assert_each_done_once(&mut client);
    cluster.assert_sessions_survived();
}

/// Snapshots of a whole transaction would not let two of them write the same tables.
#[test]
fn sessions_share_the_work_whatever_their_isolation() {
    for isolation in ["repeatable read", "serializable"] {
        let cluster = Cluster::on_demand();
        let mut client = cluster.connect();
        table(&mut client);
        let mut gate = Gate::closed(&cluster);
        let sessions: Vec<_> = (0..3)
            .map(|_| {
                let mut session = cluster.connect();
                session.batch_execute(&format!("SET default_transaction_isolation = '{isolation}'")).unwrap();
                fill(session)
            })
            .collect();
        gate.wait_for(3);
        gate.open();
        for session in sessions {
            session.join().unwrap().1.unwrap();
        }
        assert_each_done_once(&mut client);
    }
}

/// The table is what is filled, not what has its name.
#[test]
fn a_table_that_is_renamed_is_filled() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    table(&mut client);
    let mut gate = Gate::closed(&cluster);
    let session = fill(cluster.connect());
    gate.wait_for(1);
    let mut other = cluster.connect();
    let renaming = thread::spawn(move || {
        let mut transaction = other.transaction().unwrap();
        transaction
            .batch_execute(
                "ALTER TABLE captions RENAME TO archive;
                 CREATE TABLE captions (LIKE archive INCLUDING ALL);
                 INSERT INTO captions SELECT n, 'another' FROM generate_series(1, 1000) AS n",
            )
            .unwrap();
        let left = "SELECT count(*) FROM archive WHERE embedding IS NULL";
        let left: i64 = transaction.query_one(left, &[]).unwrap().get(0);
        transaction.commit().unwrap();
        left
    });
    gate.wait_for_lock("relation", 1);
    gate.open();
    assert!(renaming.join().unwrap() > 0);
    session.join().unwrap().1.unwrap();
    assert_eq!(number(&mut client, "SELECT count(embedding) FROM archive"), ROWS);
    assert_eq!(number(&mut client, "SELECT count(embedding) FROM captions"), 0);
}

#[test]
fn a_table_that_is_dropped_ends_it() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    table(&mut client);
    let mut gate = Gate::closed(&cluster);
    let session = fill(cluster.connect());
    gate.wait_for(1);
    let dropping = thread::spawn(move || {
        client.batch_execute("BEGIN; DROP TABLE captions; CREATE TABLE captions (id integer PRIMARY KEY, caption text, embedding vector); COMMIT")
    });
    gate.wait_for_lock("relation", 1);
    gate.open();
    dropping.join().unwrap().unwrap();
    let error = refusal(session.join().unwrap().1);
    assert_eq!((error.code().code(), error.message()), ("42P01", "public.captions was dropped meanwhile"));
    assert!(error.hint().unwrap().contains("call it again"));
}

/// Nobody waits for anybody: rows that are being changed are left for the next call.
#[test]
fn rows_that_others_have_locked_are_left_out() {
    let cluster = Cluster::on_demand();
    let (mut client, mut other) = (cluster.connect(), cluster.connect());
    table(&mut client);
    let mut transaction = other.transaction().unwrap();
    transaction.execute("UPDATE captions SET caption = 'changed' WHERE id = 7", &[]).unwrap();
    let (working, outcome) = fill(cluster.connect()).join().unwrap();
    outcome.unwrap();
    assert_eq!(number(&mut client, "SELECT count(*) FROM captions WHERE embedding IS NULL"), 1);
    transaction.commit().unwrap();
    fill(working).join().unwrap().1.unwrap();
    assert_eq!(number(&mut client, "SELECT count(*) FROM captions WHERE embedding IS NULL"), 0);
    let same = "SELECT count(*) FROM captions WHERE id = 7 AND embedding = clip_embed_text('changed')";
    assert_eq!(number(&mut client, same), 1);
}

/// Images of some megabytes: no more of them in the backend at a time than a few requests hold.
#[test]
fn memory_of_the_backend_is_bounded() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    client
        .batch_execute(
            "CREATE TABLE large (id integer PRIMARY KEY, image bytea, embedding vector);
             ALTER TABLE large ALTER image SET STORAGE EXTERNAL",
        )
        .unwrap();
    // Bytes behind the end of an image are no part of it.
    let mut image = image("exact.png");
    image.resize(4 << 20, 0);
    client.execute("INSERT INTO large SELECT n, $1 FROM generate_series(1, 100) AS n", &[&image]).unwrap();
    let mut working = cluster.connect();
    let backend = backend_pid(&mut working);
    working.batch_execute("CALL clip_embed_table('large', 'image')").unwrap();
    assert_eq!(number(&mut client, "SELECT count(embedding) FROM large"), 100);
    let status = std::fs::read_to_string(format!("/proc/{backend}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    let peak: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    // 400 MB of images; three requests of 16 MiB, each held twice, and shared buffers.
    assert!(peak < 300 << 10, "{peak} kB");
}
