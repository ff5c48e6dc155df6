//! Images by URL: what a session sees of hosts that misbehave, and what is left of it when the session leaves.

use cluster_tests::{Answer, Cluster, Web, backend_pid, embed_text, image, refusal, report, wait_until};
use postgres::Client;
use std::thread;
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(20);

fn web() -> Web {
    let image = image("exact.png");
    Web::start([
        ("/good.png", Answer::Image(image.clone())),
        ("/late.png", Answer::Late(image, Duration::from_millis(300))),
        ("/page", Answer::Page("<html>This image has moved.</html>")),
        ("/broken", Answer::Status(500)),
        ("/moved", Answer::Redirect("/good.png".to_owned())),
        ("/inside", Answer::Redirect("http://169.254.169.254/latest/meta-data/".to_owned())),
        ("/silent", Answer::Silence),
        ("/endless", Answer::Endless),
    ])
}

/// A cluster that fetches from loopback.
fn cluster(settings: &[(&str, &str)]) -> Cluster {
    let mut builder = Cluster::builder().set("clip_search.url_fetch", "on").set("clip_search.url_allow", "127.0.0.1");
    for (name, value) in settings {
        builder = builder.set(name, value);
    }
    builder.start()
}

fn fetch(client: &mut Client, url: &str) -> Result<Vec<u8>, postgres::Error> {
    client.query_one("SELECT clip_fetch_image($1)", &[&url]).map(|row| row.get(0))
}

#[test]
fn good_and_dead_urls_together() {
    let (cluster, web) = (cluster(&[("clip_search.url_timeout", "8s"), ("clip_search.url_retries", "0")]), web());
    let mut client = cluster.connect();
    let paths = ["/good.png", "/gone", "/moved", "/page", "/broken", "/inside", "/silent", "/good.png"];
    let urls: Vec<String> = paths.iter().map(|path| web.url(path)).collect();
    let rows = client.query("SELECT * FROM clip_fetch_images($1)", &[&urls]).unwrap();
    let expected = [
        None,
        Some("404"),
        None,
        Some("is not an image"),
        Some("500"),
        Some("redirects to where"),
        Some("8000 ms"),
        None,
    ];
    assert_eq!(rows.len(), expected.len());
    for (index, (row, expected)) in rows.iter().zip(expected).enumerate() {
        assert_eq!(row.get::<_, i32>("ordinal"), index as i32 + 1);
        assert_eq!(row.get::<_, String>("url"), urls[index]);
        let (fetched, error): (Option<Vec<u8>>, Option<String>) = (row.get("image"), row.get("error"));
        match expected {
            None => {
                assert_eq!((fetched, error), (Some(image("exact.png")), None));
                assert_eq!(row.get::<_, String>("content_type"), "image/png");
            }
            Some(part) => assert!(fetched.is_none() && error.as_ref().is_some_and(|e| e.contains(part)), "{error:?}"),
        }
    }
    assert_eq!(fetch(&mut client, &web.url("/moved")).unwrap(), image("exact.png"));
    let dead = refusal(fetch(&mut client, &web.url("/gone")));
    assert_eq!((dead.code().code(), dead.message().contains("404")), ("58030", true), "{dead:?}");
    let inside = refusal(fetch(&mut client, &web.url("/inside")));
    assert_eq!(inside.code().code(), "58030");
    assert!(inside.hint().is_some_and(|hint| hint.contains("clip_search.url_allow")), "{inside:?}");
    cluster.assert_sessions_survived();
}

#[test]
fn as_they_come() {
    let (cluster, web) = (cluster(&[("clip_search.url_connections_per_host", "8")]), web());
    let mut client = cluster.connect();
    let urls: Vec<String> = ["/late.png", "/good.png", "/good.png?2"].iter().map(|path| web.url(path)).collect();
    let mut ordinals = |in_order: bool| -> Vec<i32> {
        let rows = client.query("SELECT ordinal FROM clip_fetch_images($1, $2)", &[&urls, &in_order]).unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    };
    assert_eq!(ordinals(true), [1, 2, 3]);
    assert_eq!(ordinals(false).last(), Some(&1), "the late one comes last");
}

#[test]
fn an_endless_image_ends_at_the_limit() {
    let (cluster, web) = (cluster(&[("clip_search.max_image_bytes", "1MB")]), web());
    let error = refusal(fetch(&mut cluster.connect(), &web.url("/endless")));
    assert_eq!(error.code().code(), "54000");
    assert!(error.hint().is_some_and(|hint| hint.contains("clip_search.max_image_bytes")), "{error:?}");
    wait_until("the host is rid of it", SOON, || web.held() == 0);
}

/// Starts a fetch that never ends, and waits until the host has the request.
fn hang(cluster: &Cluster, web: &Web, mut client: Client) -> thread::JoinHandle<Result<Vec<u8>, postgres::Error>> {
    let backend = backend_pid(&mut client);
    let url = web.url("/silent");
    let request = thread::spawn(move || fetch(&mut client, &url));
    cluster.wait_for_waiting(backend);
    wait_until("the host has the request", SOON, || web.held() == 1);
    request
}

#[test]
fn whoever_leaves_takes_the_fetch_along() {
    let (cluster, web) = (cluster(&[]), web());
    let mut other = cluster.connect();

    let client = cluster.connect();
    let token = client.cancel_token();
    let request = hang(&cluster, &web, client);
    let since = Instant::now();
    token.cancel_query(postgres::NoTls).unwrap();
    assert_eq!(refusal(request.join().unwrap()).code().code(), "57014");
    assert!(since.elapsed() < SOON);
    wait_until("the host is rid of it", SOON, || web.held() == 0);

    let mut client = cluster.connect();
    client.batch_execute("SET statement_timeout = '500ms'").unwrap();
    assert_eq!(refusal(fetch(&mut client, &web.url("/silent"))).code().code(), "57014");
    wait_until("the host is rid of it", SOON, || web.held() == 0);

    let mut client = cluster.connect();
    let backend = backend_pid(&mut client);
    let request = hang(&cluster, &web, client);
    assert!(embed_text(&mut other, "others go on").is_ok());
    other.execute("SELECT pg_terminate_backend($1)", &[&backend]).unwrap();
    assert!(request.join().unwrap().is_err());
    wait_until("the host is rid of it", SOON, || web.held() == 0);
    assert_eq!(fetch(&mut other, &web.url("/good.png")).unwrap(), image("exact.png"));
    cluster.assert_sessions_survived();
}

#[test]
fn a_killed_server_is_replaced_in_the_middle() {
    let (cluster, web) = (cluster(&[("clip_search.url_connections_per_host", "1")]), web());
    let mut client = cluster.connect();
    embed_text(&mut client, "start the server").unwrap();
    // One after the other, so that some are done when the server dies and some are not.
    let urls: Vec<String> = (0..8).map(|number| web.url(&format!("/late.png?{number}"))).collect();
    let request = thread::spawn(move || client.query("SELECT ordinal, image FROM clip_fetch_images($1)", &[&urls]));
    wait_until("some are fetched", SOON, || web.requests("/late.png?2") == 1);
    cluster.server().kill();
    let rows = request.join().unwrap().unwrap();
    let found: Vec<(i32, Option<Vec<u8>>)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let expected: Vec<(i32, Option<Vec<u8>>)> = (1..=8).map(|ordinal| (ordinal, Some(image("exact.png")))).collect();
    assert_eq!(found, expected);
    assert_eq!(web.requests("/late.png?0"), 1, "what was answered is not asked for again");
    cluster.assert_sessions_survived();
}

#[test]
fn only_who_is_granted_may() {
    let (cluster, web) = (cluster(&[("clip_search.url_fetch", "off")]), web());
    let mut admin = cluster.connect();
    admin.batch_execute("CREATE ROLE curator LOGIN; CREATE ROLE visitor LOGIN").unwrap();
    let url = web.url("/good.png");
    let code = |user: &str| {
        fetch(&mut cluster.connect_to("postgres", user), &url)
            .map_err(|e| refusal(Err::<(), _>(e)).code().code().to_owned())
    };
    assert_eq!(code("curator"), Err("42501".to_owned()));
    admin.batch_execute("GRANT EXECUTE ON FUNCTION clip_fetch_image(text) TO curator").unwrap();
    assert_eq!(code("curator"), Err("55000".to_owned()));
    admin.batch_execute("ALTER DATABASE postgres SET clip_search.url_fetch = on").unwrap();
    assert_eq!(code("curator"), Ok(image("exact.png")));
    assert_eq!(code("visitor"), Err("42501".to_owned()));
    assert_eq!(web.requests("/good.png"), 1);
}

#[test]
fn the_allow_list_follows_the_configuration() {
    let (cluster, web) = (cluster(&[("clip_search.url_allow", "")]), web());
    let mut client = cluster.connect();
    let url = web.url("/good.png");
    assert_eq!(refusal(fetch(&mut client, &url)).code().code(), "42501");
    cluster.reconfigure(&[("clip_search.url_allow", "10.0.0.0/8, 127.0.0.1")]);
    wait_until("it is allowed", SOON, || fetch(&mut client, &url).is_ok());
    cluster.reconfigure(&[("clip_search.url_allow", "127.0.0.1/99")]);
    wait_until("the entry is refused", SOON, || {
        fetch(&mut client, &url).is_err_and(|error| {
            let error = refusal(Err::<(), _>(error));
            error.code().code() == "22023" && !error.message().contains("127.0.0.1") && error.hint().is_some()
        })
    });
    cluster.wait_for_log("clip_search.url_allow: \"127.0.0.1/99\" is not a host");
}

/// The result goes to disk, not to the backend's memory.
#[test]
fn many_images_take_little_memory() {
    const IMAGES: usize = 300;
    let mut large = image("exact.png");
    large.resize(1 << 20, 0);
    let web = Web::start([("/large.png", Answer::Image(large))]);
    let cluster = cluster(&[("clip_search.url_connections_per_host", "16"), ("work_mem", "1MB")]);
    let mut client = cluster.connect();
    let backend = backend_pid(&mut client);
    let urls: Vec<String> = (0..IMAGES).map(|_| web.url("/large.png")).collect();
    let query = "SELECT count(*), sum(length(image)) FROM clip_fetch_images($1, false)";
    let row = client.query_one(query, &[&urls]).unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (IMAGES as i64, (IMAGES as i64) << 20));
    let status = std::fs::read_to_string(format!("/proc/{backend}/status")).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < 150 << 10, "{peak} kB for {IMAGES} MiB of images");
}

/// Neither the names, addresses and open ports of the own network, nor where hosts in it redirect to.
#[test]
fn refusals_tell_nothing_of_the_network() {
    let (web, closed) = (web(), std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
    let port = web.url("").rsplit_once(':').unwrap().1.to_owned();
    // What is allowed is allowed on these ports alone: names of this machine are not.
    let allow = format!("127.0.0.1:{port}, {closed}");
    let cluster = cluster(&[("clip_search.url_retries", "0"), ("clip_search.url_allow", &allow)]);
    let mut client = cluster.connect();
    let mut told = |url: &str| report(client.query("SELECT clip_fetch_image($1)", &[&url]));
    // A name of the own network, and one that there is not.
    let (inside, nowhere) = (told("http://localhost/a"), told("http://no-such-host.invalid/a"));
    assert_eq!(inside.replace("localhost", "no-such-host.invalid"), nowhere);
    cluster.wait_for_log("host \"localhost\" has the address ");
    // A port that nobody listens on.
    let url = format!("http://{closed}/a");
    let refused = told(&url);
    assert!(!refused.replace(&url, "").contains("refused"), "{refused}");
    cluster.wait_for_log("Connection refused");
    // Where a host redirects to.
    let redirected = told(&web.url("/inside"));
    assert!(!redirected.contains("169.254"), "{redirected}");
    cluster.wait_for_log("169.254.169.254, which is not public");
    // A key in a URL is not for the server's own lines.
    told(&format!("http://{closed}/keyed?key=SECRET"));
    cluster.wait_for_log("could not fetch: cannot connect for \"http://");
    cluster.wait_for_log("/keyed?…");
    assert!(!cluster.log().lines().any(|line| line.contains("could not fetch") && line.contains("SECRET")));
    cluster.assert_sessions_survived();
}

#[test]
fn only_the_ports_of_the_settings() {
    let web = web();
    let cluster = cluster(&[("clip_search.url_ports", "80,443")]);
    let mut client = cluster.connect();
    let (url, port) = (web.url("/good.png"), web.url("").rsplit_once(':').unwrap().1.to_owned());
    for url in [url.as_str(), "http://192.0.2.1:22/", "http://no-such-host.invalid:22/", "http://1.1.1.1:6379/"] {
        let error = refusal(fetch(&mut client, url));
        assert_eq!(error.code().code(), "42501", "{url} {error:?}");
    }
    assert_eq!(web.requests("/good.png"), 0);
    for (setting, value) in [
        ("clip_search.url_allow", format!("127.0.0.1:{port}")),
        ("clip_search.url_ports", format!("80, {port}-{port}")),
    ] {
        cluster.reconfigure(&[("clip_search.url_allow", "127.0.0.1"), ("clip_search.url_ports", "80,443")]);
        wait_until("it is refused", SOON, || fetch(&mut client, &url).is_err());
        cluster.reconfigure(&[(setting, &value)]);
        wait_until("it is allowed", SOON, || fetch(&mut client, &url).is_ok());
    }
    cluster.reconfigure(&[("clip_search.url_ports", "eighty")]);
    wait_until("the entry is refused", SOON, || {
        fetch(&mut client, &url).is_err_and(|error| {
            let error = refusal(Err::<(), _>(error));
            error.code().code() == "22023" && !error.message().contains("eighty")
        })
    });
    cluster.wait_for_log("clip_search.url_ports: \"eighty\" is not a port");
}
