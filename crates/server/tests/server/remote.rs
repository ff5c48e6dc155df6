//! Encoders that model servers run, here played ones that run the golden model.

use crate::common::{
    MODEL, Server, ask, config, embeddings, image_files, images, send, statistics, texts, until, workspace,
};
use clip::{
    Cancel, Device, ImageEncoder, ModelName, ModelSpec, Precision, Preprocessor, Runtime, SessionOptions, TextEncoder,
};
use played_oip::Fault;
use protocol::{Config, ErrorClass, Failure, Request, Response};
use remote::wire::TensorMetadata;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;

fn golden() -> ModelSpec {
    let name = ModelName::parse(MODEL).unwrap();
    ModelSpec::read(&workspace().join("tests/golden/models").join(MODEL), &name).unwrap()
}

/// A model server with the golden model's encoders, as `image`, `image_uint8` and `text`.
fn model_server() -> played_oip::Server {
    let spec = golden();
    let runtime = Runtime::init(&config().onnxruntime_library).unwrap();
    let options = SessionOptions { device: Device::Cpu, threads: 1, precision: Precision::Fp32, max_gpu_memory: 0 };
    let image = Mutex::new(ImageEncoder::load(&spec, &options, &runtime).unwrap());
    let text = Mutex::new(TextEncoder::load(&spec, &options, &runtime).unwrap());
    let preprocessor = Preprocessor::new(&spec);
    played_oip::Server::start(move |request| {
        let (shape, raw) = (&request.inputs[0].shape, &request.raw_input_contents[0]);
        let row = raw.len() / shape[0] as usize;
        let cancel = Cancel::new();
        let (name, vectors) = match request.model_name.as_str() {
            "text" => {
                let ids = raw
                    .chunks(row)
                    .map(|row| row.as_chunks::<8>().0.iter().map(|id| i64::from_le_bytes(*id) as u32).collect());
                let ids: Vec<Vec<u32>> = ids.collect();
                let ids: Vec<&[u32]> = ids.iter().map(Vec::as_slice).collect();
                ("text_embeds", text.lock().unwrap().embed(&ids, &cancel))
            }
            kind => {
                let pixels = raw.chunks(row).map(|row| match kind {
                    "image_uint8" => preprocessor.values(row).unwrap(),
                    _ => {
                        let values = row.as_chunks::<4>().0.iter().map(|value| f32::from_le_bytes(*value)).collect();
                        clip::Array3::from_shape_vec((3, 48, 48), values).unwrap()
                    }
                });
                let pixels: Vec<_> = pixels.collect();
                let views: Vec<_> = pixels.iter().map(|pixels| pixels.view()).collect();
                ("image_embeds", image.lock().unwrap().embed(&views, &cancel))
            }
        };
        vectors.map(|vectors| (name.to_owned(), 32, vectors.concat())).map_err(|error| (13, error.to_string()))
    })
}

/// A model folder with the golden model's settings, these of its graphs, and a remote.json.
fn model(graphs: &[&str], remote: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (golden().path, folder.path().join(MODEL));
    std::fs::create_dir_all(to.join("onnx")).unwrap();
    let graphs = graphs.iter().map(|graph| format!("onnx/{graph}_model.onnx"));
    let settings = ["config.json", "preprocessor_config.json", "tokenizer.json", "tokenizer_config.json"];
    for file in settings.map(str::to_owned).into_iter().chain(graphs) {
        std::fs::copy(from.join(&file), to.join(&file)).unwrap();
    }
    std::fs::write(to.join("remote.json"), remote).unwrap();
    folder
}

fn serve(folder: &Path) -> Server {
    Server::start(&Config { model_roots: vec![folder.to_owned()], text_cache_bytes: 0, ..config() })
}

fn image_of(servers: &[&played_oip::Server], more: &str) -> String {
    let urls: Vec<String> = servers.iter().map(|server| format!("\"{}\"", server.url())).collect();
    format!(r#"{{"image": {{"endpoints": [{}], "model": "image" {more}}}}}"#, urls.join(", "))
}

fn failure(response: Response) -> Failure {
    match response {
        Response::Failed(failure) => failure,
        Response::Embeddings { results, .. } => results.into_iter().find_map(Result::err).expect("an error"),
        other => panic!("{other:?}"),
    }
}

fn assert_same(found: &[Vec<f32>], wanted: &[Vec<f32>]) {
    assert_eq!(found.len(), wanted.len());
    for (found, wanted) in found.iter().zip(wanted) {
        let cosine: f32 = found.iter().zip(wanted).map(|(a, b)| a * b).sum();
        assert!(cosine > 0.99999, "{cosine}");
    }
}

const TEXTS: [&str; 5] =
    ["a dog", "a cat on a sofa", "two people ride bicycles along the beach at sunset", "x", "blue"];

#[test]
fn vectors_are_those_of_a_model_here() {
    let here = Server::start(&config());
    let wanted_images = embeddings(ask(&mut here.connect(), &images(image_files(9))));
    let wanted_texts = embeddings(ask(&mut here.connect(), &texts(&TEXTS)));
    let remote = model_server();
    let url = remote.url();
    for (graphs, json, no_runtime) in [
        (&["text"][..], image_of(&[&remote], ""), false),
        (&["text"], image_of(&[&remote], r#", "datatype": "UINT8""#).replace("\"image\" ", "\"image_uint8\" "), false),
        (&["vision"], format!(r#"{{"text": {{"endpoints": ["{url}"], "model": "text"}}}}"#), false),
        (
            &[],
            format!(
                r#"{{"text": {{"endpoints": ["{url}"], "model": "text"}}, "image": {{"endpoints": ["{url}"], "model": "image"}}}}"#
            ),
            true,
        ),
    ] {
        let folder = model(graphs, &json);
        let mut config = Config { model_roots: vec![folder.path().to_owned()], ..config() };
        if no_runtime {
            config.onnxruntime_library = "/nonexistent".into();
        }
        let server = Server::start(&config);
        let mut client = server.connect();
        assert_same(&embeddings(ask(&mut client, &images(image_files(9)))), &wanted_images);
        assert_same(&embeddings(ask(&mut client, &texts(&TEXTS))), &wanted_texts);
        let statistics = statistics(&mut client);
        let endpoint = &statistics.endpoints[0];
        assert_eq!((endpoint.state.as_str(), endpoint.version.as_deref()), ("healthy", Some("7")));
        assert!(endpoint.requests > 0 && endpoint.failures == 0 && endpoint.latency_ms.is_some());
        let models = match ask(&mut client, &Request::Models) {
            Response::Models(models) => models,
            other => panic!("{other:?}"),
        };
        assert_eq!(models[0].error, None);
        assert!(models[0].execution_provider.as_ref().unwrap().contains(&format!("remote {url}")));
        assert!(models[0].precision.as_ref().unwrap().contains("remote"));
        assert!(models[0].fingerprint.is_some());
    }
}

#[test]
fn a_declared_length_is_kept_and_a_free_one_is_not_padded() {
    let remote = model_server();
    let folder = model(&["vision"], &format!(r#"{{"text": {{"endpoints": ["{}"], "model": "text"}}}}"#, remote.url()));
    for (length, sent) in [(-1, 5), (77, 77)] {
        let input = TensorMetadata { name: "input_ids".into(), datatype: "INT64".into(), shape: vec![-1, length] };
        remote.behave(|behaviour| behaviour.metadata.inputs = vec![input]);
        let server = serve(folder.path());
        let mut client = server.connect();
        embeddings(ask(&mut client, &texts(&["a dog"])));
        let batch = remote.seen().into_iter().filter_map(|seen| seen.batch).next_back().unwrap();
        assert_eq!(batch.inputs[0].shape, [1, sent]);
    }
}

#[test]
fn what_answers_otherwise_is_refused_and_never_used() {
    for (fault, said) in [
        (Fault::Empty, "0 bytes for 32 values"),
        (Fault::OtherModel, "another model's vectors"),
        (Fault::NotANumber, "not finite"),
        (Fault::Dimension(31), "the shape [1, 31], not [1, 32]"),
    ] {
        let remote = model_server();
        remote.fault(fault);
        // The golden model has no proof; its graph is there to compare with.
        let folder = model(&["text", "vision"], &image_of(&[&remote], ""));
        let server = serve(folder.path());
        let failure = failure(ask(&mut server.connect(), &images(image_files(1))));
        assert_eq!(failure.class, ErrorClass::RemoteRefused);
        assert!(failure.message.contains(said) && failure.message.contains(&remote.url()), "{}", failure.message);
        assert!(failure.hint.is_some());
        embeddings(ask(&mut server.connect(), &texts(&["a dog"])));
    }
}

#[test]
fn endpoints_that_are_down_and_come_back() {
    let first = model_server();
    let folder = model(&["text"], &image_of(&[&first], r#", "timeout_ms": 5000"#));
    let server = serve(folder.path());
    let mut client = server.connect();
    embeddings(ask(&mut client, &images(image_files(3))));
    first.behave(|behaviour| behaviour.missing = vec!["image".to_owned()]);
    let refused = failure(ask(&mut client, &images(image_files(4))));
    assert_eq!(refused.class, ErrorClass::RemoteRefused);
    assert!(refused.message.contains("no model image"), "{}", refused.message);
    first.behave(|behaviour| behaviour.missing.clear());
    until(|| (statistics(&mut client).endpoints[0].state == "healthy").then_some(()));
    embeddings(ask(&mut client, &images(image_files(5))));
    let url = first.url();
    drop(first);
    let gone = failure(ask(&mut client, &images(image_files(6))));
    assert_eq!(gone.class, ErrorClass::RemoteUnreachable, "{}", gone.message);
    assert!(gone.message.contains(&url), "{}", gone.message);
    embeddings(ask(&mut client, &texts(&["a dog"])));
}

/// Neither searches nor images of another model wait for a server that hangs.
#[test]
fn nobody_waits_for_a_model_server_that_hangs() {
    let remote = model_server();
    let folder = model(&["text"], &image_of(&[&remote], r#", "requests_in_flight": 2"#));
    let roots = vec![folder.path().to_owned(), workspace().join("models")];
    let server = Server::start(&Config { model_roots: roots, text_cache_bytes: 0, ..config() });
    let (mut hung, mut client) = (server.connect(), server.connect());
    embeddings(ask(&mut client, &images(image_files(1))));
    remote.fault(Fault::Slow(Duration::from_secs(600)));
    send(&mut hung, &images(image_files(500)));
    until(|| (statistics(&mut client).endpoints[0].in_flight == 2).then_some(()));
    for _ in 0..3 {
        embeddings(ask(&mut client, &texts(&["a dog"])));
    }
    let mut other = images(image_files(60));
    if let Request::Embed(request) = &mut other {
        request.model = other_model(&mut client);
    }
    assert_eq!(embeddings(ask(&mut client, &other)).len(), 60);
    // Whoever hangs up takes the calls along.
    drop(hung);
    until(|| (remote.given_up() >= 2).then_some(()));
    until(|| (statistics(&mut client).endpoints[0].in_flight == 0).then_some(()));
}

fn other_model(client: &mut std::os::unix::net::UnixStream) -> String {
    match ask(client, &Request::Models) {
        Response::Models(models) => {
            let other = models.into_iter().find(|model| model.name != MODEL && model.error.is_none());
            other.expect("a model that runs here").name
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_server_that_takes_small_messages_only() {
    let remote = model_server();
    let folder = model(&["text"], &image_of(&[&remote], ""));
    let server = serve(folder.path());
    let mut client = server.connect();
    embeddings(ask(&mut client, &images(image_files(1))));
    // Three images of 48 x 48 in float32.
    remote.behave(|behaviour| behaviour.max_message = Some(3 * 48 * 48 * 3 * 4 + 200));
    assert_eq!(embeddings(ask(&mut client, &images(image_files(60)))).len(), 60);
    remote.seen();
    assert_eq!(embeddings(ask(&mut client, &images(image_files(61)))).len(), 61);
    let largest = |seen: &played_oip::Seen| seen.batch.as_ref().map_or(0, |batch| batch.inputs[0].shape[0]);
    assert!(remote.seen().iter().map(largest).max().unwrap() <= 3, "it is remembered");
    remote.behave(|behaviour| behaviour.max_message = Some(1000));
    let failure = failure(ask(&mut client, &images(image_files(62))));
    assert_eq!(failure.class, ErrorClass::RemoteTooLarge);
    assert!(failure.message.contains("larger than max"), "{}", failure.message);
}

#[test]
fn deadlines_and_credentials_have_errors_of_their_own() {
    let remote = model_server();
    let folder = model(&["text"], &image_of(&[&remote], r#", "timeout_ms": 200"#));
    let server = serve(folder.path());
    let mut client = server.connect();
    // The first is late, perhaps, on a machine that is busy.
    until(|| match ask(&mut client, &images(image_files(1))) {
        Response::Embeddings { results, .. } => results.iter().all(Result::is_ok).then_some(()),
        _ => None,
    });
    remote.fault(Fault::Slow(Duration::from_secs(600)));
    let late = failure(ask(&mut client, &images(image_files(2))));
    assert_eq!(late.class, ErrorClass::RemoteTimeout, "{}", late.message);
    assert!(late.message.contains("no answer within 200 ms"), "{}", late.message);
    let denied = model_server();
    denied.behave(|behaviour| behaviour.header = Some(("authorization".into(), "Bearer x".into(), 16)));
    let folder = model(&["text"], &image_of(&[&denied], ""));
    let server = serve(folder.path());
    let failure = failure(ask(&mut server.connect(), &images(image_files(1))));
    assert_eq!(failure.class, ErrorClass::RemoteDenied, "{}", failure.message);
}

#[test]
fn one_of_two_dies_under_load_and_no_request_fails() {
    let (first, second) = (model_server(), model_server());
    let folder = model(&["text"], &image_of(&[&first, &second], ""));
    let server = serve(folder.path());
    let mut client = server.connect();
    embeddings(ask(&mut client, &images(image_files(1))));
    until(|| statistics(&mut client).endpoints.iter().all(|endpoint| endpoint.state == "healthy").then_some(()));
    let first = Arc::new(Mutex::new(Some(first)));
    std::thread::scope(|scope| {
        for round in 0..3 {
            let (mut stream, server) = (server.connect(), &server);
            scope.spawn(move || {
                for step in 0..20 {
                    let files = image_files(200 * (round + 1) + step).split_off(200 * round);
                    embeddings(ask(&mut stream, &images(files)));
                }
                let _ = server;
            });
        }
        std::thread::sleep(Duration::from_millis(500));
        drop(first.lock().unwrap().take());
    });
    let states: Vec<String> = statistics(&mut client).endpoints.into_iter().map(|endpoint| endpoint.state).collect();
    assert!(states.contains(&"healthy".to_owned()) && states.iter().any(|state| state != "healthy"), "{states:?}");
}

#[test]
fn a_remote_json_that_is_wrong_is_told() {
    let folder = model(&["text"], r#"{"image": {"endpoints": ["somewhere"], "model": "m"}}"#);
    let server = serve(folder.path());
    let failure = failure(ask(&mut server.connect(), &images(image_files(1))));
    assert_eq!(failure.class, ErrorClass::BadModel);
    assert!(failure.message.contains("remote.json") && failure.message.contains("somewhere"), "{}", failure.message);
}
