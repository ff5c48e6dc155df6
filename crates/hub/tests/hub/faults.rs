//! From hubs, CDNs and connections that do not behave.

use crate::*;
use played_hub::Fault;
use std::net::TcpListener;

const TEXT: &str = "onnx/text_model.onnx";

/// A hub with the model, and a folder for it.
fn published() -> (Hub, Models) {
    let (hub, models) = (Hub::start(), Models::new());
    hub.publish(NAME, files(7));
    (hub, models)
}

fn ranges(hub: &Hub) -> Vec<String> {
    let heads = hub.seen().into_iter().filter(|seen| seen.to_cdn && seen.path.contains("text_model.onnx"));
    heads.filter_map(|seen| seen.head.lines().find(|line| line.starts_with("range:")).map(str::to_owned)).collect()
}

#[test]
fn a_connection_that_is_cut_again_and_again_is_resumed() {
    let (hub, models) = published();
    for _ in 0..6 {
        // More often than there are retries: each time there is progress.
        hub.fault(TEXT, Fault::Cut(90_000));
    }
    install(&models.request(&hub)).unwrap();
    assert_installed(&models, 7);
    let ranges = ranges(&hub);
    assert_eq!(ranges.first().map(String::as_str), Some("range: bytes=90000-"), "{ranges:?}");
    assert_eq!(ranges.len(), 6, "{ranges:?}");
}

#[test]
fn a_connection_that_is_cut_without_progress_is_given_up_and_resumed_by_the_next_call() {
    let (hub, models) = published();
    hub.fault(TEXT, Fault::Cut(300_000));
    for _ in 0..3 {
        hub.fault(TEXT, Fault::Cut(0));
    }
    let error = install(&models.request(&hub)).unwrap_err();
    assert!(matches!(error, Error::Interrupted { attempts: 4, .. }), "{error:?}");
    assert!(error.hint().unwrap().contains("kept") && !models.model().exists());
    hub.forget();
    install(&models.request(&hub)).unwrap();
    assert_installed(&models, 7);
    assert_eq!(ranges(&hub), ["range: bytes=300000-"]);
}

#[test]
fn what_an_earlier_attempt_left_is_not_resumed_for_another_content() {
    let (hub, models) = published();
    for fault in [Fault::Cut(300_000), Fault::Cut(0), Fault::Cut(0), Fault::Cut(0)] {
        hub.fault(TEXT, fault);
    }
    install(&models.request(&hub)).unwrap_err();
    hub.publish(NAME, files(8));
    hub.forget();
    install(&models.request(&hub)).unwrap();
    assert_installed(&models, 8);
    assert_eq!(ranges(&hub), [""; 0]);
}

#[test]
fn a_part_that_was_damaged_meanwhile_is_fetched_anew() {
    let (hub, models) = published();
    for fault in [Fault::Cut(300_000), Fault::Cut(0), Fault::Cut(0), Fault::Cut(0)] {
        hub.fault(TEXT, fault);
    }
    install(&models.request(&hub)).unwrap_err();
    let parts = models.path().join("owner/.model.new/.parts");
    let mut damaged = 0;
    for part in std::fs::read_dir(parts).unwrap().flatten() {
        let mut bytes = std::fs::read(part.path()).unwrap();
        if !bytes.is_empty() {
            bytes[0] ^= 1;
            std::fs::write(part.path(), bytes).unwrap();
            damaged += 1;
        }
    }
    assert!(damaged > 0);
    install(&models.request(&hub)).unwrap();
    assert_installed(&models, 7);
}

#[test]
fn servers_that_do_not_know_ranges() {
    for fault in [Fault::IgnoreRange, Fault::WrongRange, Fault::Status(416, "")] {
        let (hub, models) = published();
        hub.fault(TEXT, Fault::Cut(90_000));
        hub.fault(TEXT, fault);
        install(&models.request(&hub)).unwrap();
        assert_installed(&models, 7);
    }
}

#[test]
fn a_busy_hub_is_asked_again_after_the_time_that_it_wants() {
    let (hub, models) = published();
    hub.fault("listing", Fault::Status(429, "Retry-After: 1\r\n"));
    hub.fault(TEXT, Fault::Status(429, "Retry-After: 1\r\n"));
    hub.fault(TEXT, Fault::Status(503, ""));
    let pauses = std::sync::Mutex::new(Vec::new());
    install_with(&models.request(&hub), &|event| {
        if let Event::Retry { pause, .. } = event {
            pauses.lock().unwrap().push(pause);
        }
    })
    .unwrap();
    assert_installed(&models, 7);
    assert_eq!(pauses.lock().unwrap()[0], Duration::from_secs(1));
}

#[test]
fn a_hub_that_wants_too_much_time_is_an_error_that_says_how_much() {
    let (hub, models) = published();
    hub.fault("listing", Fault::Status(429, "Retry-After: 7200\r\n"));
    let error = install(&models.request(&hub)).unwrap_err();
    assert!(matches!(error, Error::RateLimited { seconds: Some(7200), .. }), "{error:?}");
    assert_eq!(error.code(), CommandClass::RateLimited);
    for _ in 0..4 {
        hub.fault("listing", Fault::Status(429, ""));
    }
    let error = install(&models.request(&hub)).unwrap_err();
    assert!(matches!(error, Error::RateLimited { seconds: None, .. }), "{error:?}");
}

#[test]
fn another_content_than_was_promised_is_never_installed() {
    let (mut same_length, mut longer) = (weights(7), weights(7));
    same_length[77] ^= 1;
    longer.push(0);
    // A small file is known by git's hash. Each in a folder of its own: what came of the other files would be kept.
    let replaced = [("config.json", b"{\"seed\": 8}".to_vec()), (TEXT, same_length), (TEXT, longer)];
    for (case, (path, content)) in replaced.into_iter().enumerate() {
        let (hub, models) = published();
        hub.fault(path, Fault::Replace(content));
        let error = install(&models.request(&hub)).unwrap_err();
        match (case, &error) {
            (0 | 1, Error::WrongHash { file, .. }) => assert_eq!(file, path),
            (2, Error::WrongSize { file, expected: 600_000, .. }) => assert_eq!(file, path),
            _ => panic!("{path}: {error:?}"),
        }
        assert!(!models.model().exists());
        install(&models.request(&hub)).unwrap();
        assert_installed(&models, 7);
    }
}

#[test]
fn redirects_that_are_not_followed() {
    let (hub, models) = published();
    for to in ["file:///etc/passwd", "ftp://127.0.0.1/a", "http://"] {
        for _ in 0..4 {
            hub.fault(TEXT, Fault::Redirect(to.to_owned()));
        }
        let error = install(&models.request(&hub)).unwrap_err();
        assert!(matches!(error, Error::BadAnswer { .. }), "{to}: {error:?}");
        for _ in 0..4 {
            install(&models.request(&hub)).ok();
        }
        hub::remove(&models.path(), &name(NAME)).unwrap();
    }
    let endless = format!("{}/blobs/{NAME}/main/{TEXT}", hub.cdn());
    for _ in 0..11 {
        hub.fault(TEXT, Fault::Redirect(endless.clone()));
    }
    let error = install(&models.request(&hub)).unwrap_err();
    assert!(error.to_string().contains("redirects more than 10 times"), "{error}");
}

#[test]
fn a_token_does_not_follow_a_redirect_to_another_host() {
    // A hub that would like to have the token of another one.
    let (hub, thief, models) = (Hub::start(), Hub::start(), Models::new());
    hub.publish(NAME, files(7));
    hub.fault("listing", Fault::Redirect(format!("{}/api/models/{NAME}/revision/main", thief.endpoint())));
    let request = Request { token: hub::Token::new("hf_secret"), ..models.request(&hub) };
    // The thief has no such repository; the hub is asked once more, and gives its list.
    install(&request).unwrap();
    let seen = thief.seen();
    assert_eq!(seen.len(), 1);
    assert!(!seen[0].head.contains("hf_secret"), "{}", seen[0].head);
}

#[test]
fn restricted_repositories_say_what_is_missing() {
    let (hub, models) = published();
    hub.restrict(NAME, "hf_secret");
    let error = install(&models.request(&hub)).unwrap_err();
    assert!(matches!(&error, Error::Gated { .. }), "{error:?}");
    assert!(error.hint().unwrap().contains("hub_token_file"), "{:?}", error.hint());
    let request = Request { token: hub::Token::new("hf_other"), ..models.request(&hub) };
    let error = install(&request).unwrap_err();
    assert!(matches!(&error, Error::GatedForToken { .. }), "{error:?}");
    assert!(!format!("{error:?} {error} {:?}", error.hint()).contains("hf_other"));
    hub.fault("listing", Fault::Status(401, ""));
    let error = install(&request).unwrap_err();
    assert!(matches!(&error, Error::TokenRefused { .. }), "{error:?}");
    assert_eq!(error.code(), CommandClass::AccessDenied);
}

#[test]
fn what_does_not_exist() {
    let (hub, models) = published();
    let request = |source: &str| Request { endpoint: hub.endpoint(), ..models.local(source) };
    let error = install(&request("owner/modell")).unwrap_err();
    assert!(matches!(error, Error::NoSuchRepository { .. }), "{error:?}");
    let error = install(&Request { revision: Some("v9".to_owned()), ..request(NAME) }).unwrap_err();
    assert!(matches!(&error, Error::NoSuchRevision { revision, .. } if revision == "v9"), "{error:?}");
    hub.fault(TEXT, Fault::Status(404, "X-Error-Code: EntryNotFound\r\n"));
    hub.fault("listing", Fault::Status(404, ""));
    assert!(matches!(install(&request(NAME)).unwrap_err(), Error::NoSuchRepository { .. }));
    let error = install(&Request { precision: Some("int8".to_owned()), ..request(NAME) }).unwrap_err();
    assert!(matches!(&error, Error::NoSuchPrecision { .. }), "{error:?}");
    for revision in ["../../etc", "a b", ""] {
        let error = install(&Request { revision: Some(revision.to_owned()), ..request(NAME) }).unwrap_err();
        assert!(matches!(error, Error::InvalidRevision { .. }), "{error:?}");
    }
}

#[test]
fn no_network() {
    let models = Models::new();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let closed = Request { endpoint: format!("http://127.0.0.1:{port}"), ..models.local(NAME) };
    let error = install(&closed).unwrap_err();
    assert!(matches!(&error, Error::Offline { host, .. } if host.ends_with(&port.to_string())), "{error:?}");
    assert!(error.hint().unwrap().contains("hub_endpoint"));
    // A name that can never be one.
    let unknown = Request { endpoint: "http://hub.invalid".to_owned(), ..models.local(NAME) };
    let error = install(&unknown).unwrap_err();
    assert!(matches!(&error, Error::Offline { host, .. } if host == "hub.invalid"), "{error:?}");
}

#[test]
fn answers_that_are_no_listing() {
    let (hub, models) = published();
    for bytes in [&b""[..], b"<html>", b"{}", b"{\"sha\": \"x\"}", &[b'['; 100_000]] {
        hub.fault("listing", Fault::Replace(bytes.to_vec()));
        let error = install(&models.request(&hub)).unwrap_err();
        assert!(matches!(error, Error::BadAnswer { .. }), "{error:?}");
    }
}

#[test]
fn names_in_a_listing_cannot_leave_the_folder() {
    let (hub, models) = (Hub::start(), Models::new());
    let mut bad = files(7);
    for path in ["../config.json", "/config.json", "onnx/../../../tokenizer.json", "..\\vocab.json", "onnx//vocab.json"]
    {
        bad.push(File::small(path, "bad"));
    }
    hub.publish(NAME, bad);
    install(&models.request(&hub)).unwrap();
    assert_installed(&models, 7);
    assert_eq!(tree(models.0.path()).len(), CHOSEN.len() + 1);
}

#[test]
fn weights_alone_are_refused_before_they_are_fetched() {
    let (hub, models) = (Hub::start(), Models::new());
    hub.publish(NAME, vec![File::small("config.json", "{}"), File::large("pytorch_model.bin", weights(1))]);
    let error = install(&models.request(&hub)).unwrap_err();
    assert!(matches!(&error, Error::WeightsOnly { file, .. } if file == "pytorch_model.bin"), "{error:?}");
    assert_eq!(hub.seen().len(), 1);
    // Unless they can be converted.
    let request = Request { accept_weights: true, ..models.request(&hub) };
    assert_eq!(install(&request).unwrap().1.layout, hub::Layout::Weights);
}
