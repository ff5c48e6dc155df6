//! From a hub that behaves.

use crate::*;

#[test]
fn only_what_is_needed_is_installed_and_the_second_time_nothing() {
    let (hub, models) = (Hub::start(), Models::new());
    let commit = hub.publish(NAME, files(7));
    let (new, manifest) = install(&models.request(&hub)).unwrap();
    assert!(new);
    assert_installed(&models, 7);
    assert_eq!((manifest.commit.as_deref(), manifest.license.as_deref()), (Some(commit.as_str()), Some("mit")));
    assert_eq!((manifest.source.as_str(), manifest.endpoint), (NAME, Some(hub.endpoint())));
    assert_eq!(manifest.precision.as_deref(), Some("fp32"));

    hub.forget();
    assert!(!install(&models.request(&hub)).unwrap().0);
    assert_eq!(hub.seen().len(), 1, "only the listing");
    // A commit needs no question at all.
    let request = Request { revision: Some(commit.clone()), ..models.request(&hub) };
    hub.forget();
    assert!(!install(&request).unwrap().0);
    assert!(hub.seen().is_empty());
    assert_installed(&models, 7);
}

#[test]
fn a_file_that_is_gone_is_fetched_again() {
    let (hub, models) = (Hub::start(), Models::new());
    hub.publish(NAME, files(7));
    install(&models.request(&hub)).unwrap();
    std::fs::remove_file(models.model().join("onnx/text_model.onnx")).unwrap();
    hub.forget();
    assert!(install(&models.request(&hub)).unwrap().0);
    assert_eq!(hub.seen().iter().filter(|seen| seen.to_cdn).count(), 1);
    assert_installed(&models, 7);
}

#[test]
fn another_precision_name_and_revision() {
    let (hub, models) = (Hub::start(), Models::new());
    let old = hub.publish(NAME, files(7));
    hub.publish(NAME, files(8));
    let request = Request {
        revision: Some(old.clone()),
        precision: Some("fp16".to_owned()),
        as_name: Some(name("mine/half")),
        ..models.request(&hub)
    };
    let (_, manifest) = install(&request).unwrap();
    assert_eq!((manifest.name.as_str(), manifest.commit.as_deref()), ("mine/half", Some(old.as_str())));
    assert_eq!(manifest.precision.as_deref(), Some("fp16"));
    let folder = models.path().join("mine/half");
    assert_eq!(std::fs::read(folder.join("onnx/text_model_fp16.onnx")).unwrap(), weights(1));
    assert!(!folder.join("onnx/text_model.onnx").exists());
}

#[test]
fn a_new_revision_stands_beside_the_old_until_it_is_whole() {
    let (hub, models) = (Hub::start(), Models::new());
    hub.publish(NAME, files(7));
    install(&models.request(&hub)).unwrap();
    let mut newer = files(8);
    newer[7] = File::large("onnx/vision_model.onnx", weights(7 ^ 0x55));
    newer[6] = File::large("onnx/vision_model.onnx", weights(7 ^ 0x55));
    hub.publish(NAME, newer);
    hub.forget();
    let Outcome::Staged(staged) = stage(&models.request(&hub), &|_| ()).unwrap() else { panic!("it is new") };
    assert_eq!(std::fs::read(models.model().join("onnx/text_model.onnx")).unwrap(), weights(7), "still the old one");
    // What is the same in both is not fetched again.
    let fetched: Vec<String> = hub.seen().into_iter().filter(|seen| seen.to_cdn).map(|seen| seen.path).collect();
    assert!(fetched.len() == 1 && fetched[0].contains("text_model.onnx"), "{fetched:?}");
    staged.finish().unwrap();
    assert_eq!(std::fs::read(models.model().join("onnx/text_model.onnx")).unwrap(), weights(8));
    assert_eq!(std::fs::read(models.model().join("onnx/vision_model.onnx")).unwrap(), weights(7 ^ 0x55));
    let manifest = Manifest::read(&models.model()).unwrap();
    assert_eq!(manifest.differences(&models.model()).unwrap(), []);
    assert_eq!(models.leftovers(), [""; 0]);
}

#[test]
fn a_model_that_is_not_wanted_after_all_leaves_the_old_one() {
    let (hub, models) = (Hub::start(), Models::new());
    hub.publish(NAME, files(7));
    install(&models.request(&hub)).unwrap();
    hub.publish(NAME, files(8));
    let Outcome::Staged(staged) = stage(&models.request(&hub), &|_| ()).unwrap() else { panic!("it is new") };
    staged.discard().unwrap();
    assert_installed(&models, 7);
}

#[test]
fn files_are_fetched_side_by_side() {
    let (hub, models) = (Hub::start(), Models::new());
    hub.publish(NAME, files(7));
    // Both stand still for a while; one after the other they would take the time twice.
    let pause = Duration::from_secs(5);
    for path in ["onnx/text_model.onnx", "onnx/vision_model.onnx"] {
        hub.fault(path, played_hub::Fault::Stall(100_000, pause));
    }
    let asked = std::sync::Mutex::new(Vec::new());
    install_with(&models.request(&hub), &|event| {
        if let Event::Retry { path, .. } = event {
            asked.lock().unwrap().push((path.to_owned(), hub.seen().len()));
        }
    })
    .unwrap();
    // Both had been asked for before the first of them broke.
    let first = asked.lock().unwrap().first().unwrap().1;
    let seen = &hub.seen()[..first];
    for path in ["onnx/text_model.onnx", "onnx/vision_model.onnx"] {
        assert!(seen.iter().any(|seen| seen.to_cdn && seen.path.contains(path)), "{path}");
    }
    assert_installed(&models, 7);
}

#[test]
fn a_token_opens_a_restricted_repository_and_stays_with_the_hub() {
    let (hub, models) = (Hub::start(), Models::new());
    hub.publish(NAME, files(7));
    hub.restrict(NAME, "hf_secret");
    let request = Request { token: hub::Token::new("hf_secret"), ..models.request(&hub) };
    install(&request).unwrap();
    assert_installed(&models, 7);
    let seen = hub.seen();
    let with_token = |seen: &played_hub::Seen| seen.head.contains("hf_secret");
    assert!(seen.iter().filter(|seen| !seen.to_cdn).all(with_token), "the hub is shown it");
    assert!(seen.iter().any(|seen| seen.to_cdn) && !seen.iter().filter(|seen| seen.to_cdn).any(with_token));
    let manifest = std::fs::read_to_string(models.model().join(hub::MANIFEST)).unwrap();
    assert!(!manifest.contains("hf_secret") && !format!("{request:?}").contains("hf_secret"));
}

#[test]
fn progress_adds_up() {
    let (hub, models) = (Hub::start(), Models::new());
    hub.publish(NAME, files(7));
    hub.fault("onnx/text_model.onnx", played_hub::Fault::Cut(200_000));
    hub.fault("onnx/vision_model.onnx", played_hub::Fault::Cut(200_000));
    hub.fault("onnx/vision_model.onnx", played_hub::Fault::IgnoreRange);
    let (total, received) = (std::sync::Mutex::new(0), std::sync::Mutex::new(0_i64));
    install_with(&models.request(&hub), &|event| match event {
        Event::Selected { selection, .. } => *total.lock().unwrap() = selection.bytes() as i64,
        Event::Received(bytes) => *received.lock().unwrap() += bytes as i64,
        Event::Lost(bytes) => *received.lock().unwrap() -= bytes as i64,
        _ => {}
    })
    .unwrap();
    assert_eq!(*total.lock().unwrap(), *received.lock().unwrap());
}

/// Models of several sizes in one repository, with settings that they share.
#[test]
fn one_of_several_models_by_its_folder() {
    let (hub, models) = (Hub::start(), Models::new());
    hub.publish(
        NAME,
        vec![
            File::small("config.json", "{}"),
            File::small("tokenizer.json", "{}"),
            File::small("preprocessor_config.json", "{\"size\": 256}"),
            File::large("onnx/s0/text_model.onnx", weights(1)),
            File::large("onnx/s0/vision_model.onnx", weights(2)),
            File::large("onnx/s2/text_model.onnx", weights(3)),
            File::large("onnx/s2/vision_model.onnx", weights(4)),
            File::small("s2/preprocessor_config.json", "{\"size\": 224}"),
        ],
    );
    let error = install(&models.request(&hub)).unwrap_err();
    assert_eq!(error.to_string(), "\"owner/model\" has its models in folders: s0, s2");
    assert!(error.hint().unwrap().contains("owner/name/s0"), "{error:?}");

    let request = |source: &str| Request { endpoint: hub.endpoint(), ..models.local(source) };
    let (new, manifest) = install(&request("owner/model/s2")).unwrap();
    assert!(new);
    assert_eq!((manifest.name.as_str(), manifest.source.as_str()), ("owner/model-s2", "owner/model/s2"));
    let folder = models.path().join("owner/model-s2");
    let wanted =
        ["config.json", "onnx/text_model.onnx", "onnx/vision_model.onnx", "preprocessor_config.json", "tokenizer.json"];
    assert_eq!(tree(&folder), [&["clip_search.json"], &wanted[..]].concat());
    assert_eq!(std::fs::read(folder.join("onnx/text_model.onnx")).unwrap(), weights(3));
    assert_eq!(std::fs::read_to_string(folder.join("preprocessor_config.json")).unwrap(), "{\"size\": 224}");
    assert!(!install(&request("owner/model/s2")).unwrap().0);

    // Weights of the root are not the folder's.
    let root = [("config.json", "{}"), ("tokenizer.json", "{}"), ("assets/picture.txt", "no model")];
    let mut files: Vec<File> = root.map(|(path, content)| File::small(path, content)).into();
    files.push(File::large("model.safetensors", weights(5)));
    hub.publish(NAME, files);
    assert!(matches!(install(&request("owner/model/assets")), Err(Error::NoModel { .. })));
    let error = install(&request("owner/model/s9")).unwrap_err();
    assert!(matches!(&error, Error::NoModel { reason, .. } if reason.contains("\"s9\"")), "{error:?}");
    for wrong in ["owner/model/", "owner/model/../s2", "owner/model/s2/more", "owner/model/.s2"] {
        assert!(matches!(Source::parse(wrong), Err(Error::InvalidSource { .. })), "{wrong}");
    }
}

/// Two repositories with one encoder each are one model.
#[test]
fn a_pair_of_repositories() {
    let (hub, models) = (Hub::start(), Models::new());
    let request = |source: &str| Request { endpoint: hub.endpoint(), ..models.local(source) };
    let text = |seed| vec![File::small("config.json", "{\"text\": 1}"), File::large("model.onnx", weights(seed))];
    let image = vec![
        File::small("config.json", "{}"),
        File::small("preprocessor_config.json", "{}"),
        File::large("onnx/model.onnx", weights(2)),
    ];
    let mut commits = vec![hub.publish("owner/clip-b32-text", text(1))];
    // The other one is missing.
    let source = "owner/clip-b32-text+owner/clip-b32-vision";
    let error = install(&request(source)).unwrap_err();
    let missing = |name: &str| name == "owner/clip-b32-vision";
    assert!(matches!(&error, Error::NoSuchRepository { repository, .. } if missing(repository)), "{error:?}");
    commits.push(hub.publish("owner/clip-b32-vision", image));

    let (new, manifest) = install(&request(source)).unwrap();
    assert!(new);
    assert_eq!((manifest.name.as_str(), manifest.source.as_str()), ("owner/clip-b32", source));
    assert_eq!(manifest.commit, Some(commits.join("+")));
    let folder = models.path().join("owner/clip-b32");
    let wanted = [
        "clip_search.json",
        "text/config.json",
        "text/model.onnx",
        "vision/config.json",
        "vision/model.onnx",
        "vision/preprocessor_config.json",
    ];
    assert_eq!(tree(&folder), wanted);
    assert_eq!(std::fs::read(folder.join("text/model.onnx")).unwrap(), weights(1));
    assert_eq!(std::fs::read(folder.join("vision/model.onnx")).unwrap(), weights(2));
    assert_eq!(std::fs::read_to_string(folder.join("text/config.json")).unwrap(), "{\"text\": 1}");
    assert_eq!(manifest.differences(&folder).unwrap(), []);
    assert!(!install(&request(source)).unwrap().0);

    // A new revision of one of them.
    hub.publish("owner/clip-b32-text", text(3));
    hub.forget();
    assert!(install(&request(source)).unwrap().0);
    assert_eq!(std::fs::read(folder.join("text/model.onnx")).unwrap(), weights(3));
    let fetched: Vec<String> = hub.seen().into_iter().filter(|seen| seen.to_cdn).map(|seen| seen.path).collect();
    assert_eq!(fetched.len(), 1, "{fetched:?}");
    // A commit is one of one of them.
    let pinned = Request { revision: Some(commits[0].clone()), ..request(source) };
    let error = install(&pinned).unwrap_err();
    assert!(matches!(&error, Error::NoSuchRevision { repository, .. } if missing(repository)), "{error:?}");
    let pinned = Request { revision: Some(commits.join("+")), ..request(source) };
    assert_eq!(install(&pinned).unwrap().1.commit, Some(commits.join("+")));
    assert_eq!(std::fs::read(folder.join("text/model.onnx")).unwrap(), weights(1));

    let name = |text: &str| Source::parse(text).unwrap().name().map(|name| name.to_string());
    assert_eq!(name("a/nomic-text-v1.5+a/nomic-vision-v1.5").as_deref(), Some("a/nomic-v1.5"));
    assert_eq!(name("a/clip-text+a/clip-tiny-vision").as_deref(), Some("a/clip"));
    assert_eq!(name("a/clip-text+b/clip-vision"), None);
    assert_eq!(name("a/clip+a/clip").as_deref(), Some("a/clip"));

    let error = install(&request("owner/text+owner/vision")).unwrap_err();
    assert!(matches!(error, Error::NameNeeded { .. }), "{error:?}");
    for wrong in ["owner/a+", "+owner/b", "owner/a+b", "owner/a+owner/b+owner/c", "owner/a+../b", "owner/a+/b"] {
        assert!(matches!(Source::parse(wrong), Err(Error::InvalidSource { .. })), "{wrong}");
    }
}
