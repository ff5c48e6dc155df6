//! Installing, verifying and removing models from SQL, from a played hub on loopback.

use cluster_tests::{Cluster, DIMENSION, embed_text_with, refusal, report, wait_out_cancel, wait_until};
use played_hub::{Fault, File, Hub};
use postgres::{Client, Error, NoTls};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Its name at the hub; that of the cluster's own model is another.
const NAME: &str = "hub/small";
const TEXT: &str = "onnx/text_model.onnx";
const DEFAULT_MODEL_DIR: &str = "clip_search_models";

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../golden/models/golden/small")
}

fn copy_of(folder: &Path) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    assert!(Command::new("cp").arg("-rT").args([folder, copy.path()]).status().unwrap().success());
    copy
}

/// A hub with the model, and a cluster that installs from it into its default folder.
fn start() -> (Hub, Cluster) {
    let hub = Hub::start();
    hub.publish_folder(NAME, &golden());
    let cluster = Cluster::builder()
        .set("clip_search.model_dir", "")
        .set("clip_search.hub_endpoint", hub.endpoint())
        .set("clip_search.model", "clip-search/emoji")
        .start();
    (hub, cluster)
}

fn install(client: &mut Client, source: &str) -> Result<String, Error> {
    client.query_one("SELECT clip_install_model($1)", &[&source]).map(|row| row.get(0))
}

fn install_sql(client: &mut Client, arguments: &str) -> Result<String, Error> {
    client.query_one(&format!("SELECT clip_install_model({arguments})"), &[]).map(|row| row.get(0))
}

fn assert_nothing_installed(cluster: &Cluster) {
    assert!(!cluster.data().join(DEFAULT_MODEL_DIR).join(NAME).exists());
    assert_eq!(cluster.model_commands(), []);
}

#[test]
fn what_is_refused() {
    let (hub, cluster) = start();
    let mut client = cluster.connect();
    client.batch_execute("CREATE ROLE ordinary LOGIN").unwrap();
    let mut ordinary = cluster.connect_to("postgres", "ordinary");
    for call in ["clip_install_model('hub/small')", "clip_verify_model('hub/small')", "clip_remove_model('hub/small')"]
    {
        assert_eq!(refusal(ordinary.query(&format!("SELECT {call}"), &[])).code().code(), "42501", "{call}");
    }
    // Before the library is loaded, PostgreSQL knows of no setting that is hidden.
    ordinary.query("SELECT clip_embed_text('x')", &[]).unwrap();
    for setting in ["hub_endpoint", "hub_token_file"] {
        assert!(ordinary.query(&format!("SHOW clip_search.{setting}"), &[]).is_err(), "{setting}");
    }
    for (arguments, code, words) in [
        ("NULL", "22004", "source must not be NULL"),
        ("''", "22023", "is not a source of a model"),
        ("'small'", "22023", "is not a source of a model"),
        ("'~/small'", "22023", "~ has no meaning here"),
        ("'https://hub.example/a/b'", "22023", "it is a URL"),
        ("'/no/such/folder'", "22023", "No such file"),
        ("'--help'", "22023", "is not a source of a model"),
        ("'hub/small', revision => '../..'", "22023", "is not a revision"),
        ("'hub/small', in_precision => 'FP 16'", "22023", "is not a precision"),
        ("'hub/small', as_name => '../../x'", "22023", "is not a model name"),
        ("'hub/smal'", "42704", "there is no model repository \"hub/smal\""),
        ("'hub/small', revision => 'v9'", "42704", "has no revision \"v9\""),
        ("'hub/small', in_precision => 'q4'", "42704", "has no q4 files, only fp32, fp16"),
    ] {
        let error = refusal(install_sql(&mut client, arguments));
        assert_eq!(error.code().code(), code, "{arguments}: {error:?}");
        assert!(error.message().contains(words), "{arguments}: {error:?}");
        assert!(error.hint().is_some(), "{arguments}: {error:?}");
    }
    hub.publish("hub/weights", vec![File::small("config.json", "{}"), File::large("model.safetensors", "x")]);
    let error = refusal(install(&mut client, "hub/weights"));
    assert_eq!(error.code().code(), "55000", "{error:?}");
    assert!(error.message().contains("has neither tokenizer.json nor vocab.json with merges.txt"), "{error:?}");
    assert_nothing_installed(&cluster);
    cluster.assert_sessions_survived();
}

#[test]
fn hubs_and_networks_that_fail() {
    let (hub, cluster) = start();
    let mut client = cluster.connect();
    let refused = |client: &mut Client| {
        let said = report(install(client, NAME));
        assert_nothing_installed(&cluster);
        said
    };
    hub.fault("listing", Fault::Status(429, "Retry-After: 7200\r\n"));
    assert!(refused(&mut client).starts_with("53000: 127.0.0.1:"));
    let mut damaged = fs::read(golden().join(TEXT)).unwrap();
    damaged[99] ^= 1;
    hub.fault(TEXT, Fault::Replace(damaged));
    assert!(refused(&mut client).starts_with("XX001: file \"onnx/text_model.onnx\" has the hash "));
    hub.restrict(NAME, "hf_secret");
    assert!(
        refused(&mut client).starts_with("42501: access to model repository \"hub/small\" is restricted\nHINT: Accept")
    );
    client.batch_execute("SET clip_search.hub_endpoint = 'http://127.0.0.1:1'").unwrap();
    assert!(refused(&mut client).starts_with("58030: could not connect to 127.0.0.1:1: "));
    client.batch_execute("SET clip_search.hub_endpoint = 'hub.example'").unwrap();
    assert!(refused(&mut client).starts_with("22023: \"hub.example\" is not the address of a hub"));
    client.batch_execute("RESET clip_search.hub_endpoint; SET clip_search.hub_token_file = '/no/such/file'").unwrap();
    assert!(refused(&mut client).starts_with("58030: could not read the token in \"/no/such/file\""));
    let token = cluster.file("token", "hf_secret\n", 0o600);
    client.batch_execute(&format!("SET clip_search.hub_token_file = '{}'", token.display())).unwrap();
    install(&mut client, NAME).unwrap();
    assert!(!cluster.log().contains("hf_secret"));
    cluster.assert_sessions_survived();
}

#[test]
fn installed_used_verified_and_removed() {
    let (_hub, cluster) = start();
    let (mut client, notices) = cluster.connect_with_notices();
    // Before anything is installed, the error says so.
    let error = refusal(embed_text_with(&mut client, "x", NAME));
    assert_eq!(error.code().code(), "42704");
    assert!(error.hint().unwrap().contains("clip_install_model"), "{error:?}");
    assert!(!cluster.log().contains("WARNING"), "that nothing is installed is nothing wrong");

    assert_eq!(install(&mut client, NAME).unwrap(), NAME);
    assert!(notices.lock().unwrap().iter().any(|notice| notice.message().contains("licence mit")), "{notices:?}");
    assert_eq!(embed_text_with(&mut client, "x", NAME).unwrap().len(), DIMENSION);
    let folder = cluster.data().join(DEFAULT_MODEL_DIR);
    assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
    let row = client.query_one("SELECT dimension, error FROM clip_models() WHERE name = $1", &[&NAME]).unwrap();
    assert_eq!((row.get(0), row.get(1)), (Some(DIMENSION as i32), None::<String>));
    assert_eq!(install(&mut client, NAME).unwrap(), NAME, "a second time nothing happens");

    let verify = |client: &mut Client, name: &str| {
        let row = client.query_one("SELECT * FROM clip_verify_model($1)", &[&name]).unwrap();
        (row.get::<_, bool>("ok"), row.get::<_, Vec<String>>("damaged"), row.get::<_, Option<f64>>("text_cosine"))
    };
    assert!(
        matches!(verify(&mut client, NAME), (true, damaged, Some(cosine)) if damaged.is_empty() && cosine > 0.999_99)
    );
    // What came with the extension has no proof to compare with; it runs.
    assert!(matches!(verify(&mut client, "clip-search/emoji"), (true, _, None)));
    fs::write(folder.join(NAME).join("tokenizer_config.json"), "{}").unwrap();
    let (ok, damaged, _) = verify(&mut client, NAME);
    assert!(!ok && damaged[0].starts_with("tokenizer_config.json has"), "{damaged:?}");

    client.batch_execute("SELECT clip_remove_model('hub/small')").unwrap();
    assert_nothing_installed(&cluster);
    let error = refusal(client.batch_execute("SELECT clip_remove_model('hub/small')"));
    assert_eq!(error.code().code(), "42704");
    // Not the bundled ones.
    assert_eq!(refusal(client.batch_execute("SELECT clip_remove_model('clip-search/emoji')")).code().code(), "42704");
    client.batch_execute("SELECT clip_restart_server()").unwrap();
    assert_eq!(refusal(embed_text_with(&mut client, "x", NAME)).code().code(), "42704");
    cluster.assert_sessions_survived();
}

#[test]
fn a_new_revision_under_a_running_server() {
    let (hub, cluster) = start();
    let mut client = cluster.connect();
    install(&mut client, NAME).unwrap();
    let before = embed_text_with(&mut client, "x", NAME).unwrap();
    let newer = copy_of(&golden());
    fs::write(newer.path().join("README.md"), "newer").unwrap();
    hub.publish_folder(NAME, newer.path());
    install(&mut client, NAME).unwrap();
    assert_eq!(embed_text_with(&mut cluster.connect(), "x", NAME).unwrap(), before);
    client.batch_execute("SELECT clip_restart_server()").unwrap();
    assert_eq!(embed_text_with(&mut cluster.connect(), "x", NAME).unwrap(), before);
    assert!(cluster.data().join(DEFAULT_MODEL_DIR).join(NAME).join("README.md").exists());
}

/// As the installation writes them into config.json where only the weights say them.
#[test]
fn labels_of_a_model_that_was_trained_with_a_sigmoid() {
    const SIGLIP: &str = "hub/siglip";
    let (scale, bias) = (25.0f64, -13.0);
    let (hub, cluster) = start();
    let folder = copy_of(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../golden/layouts/models/siglip/base"));
    let config = fs::read_to_string(folder.path().join("config.json")).unwrap();
    let config = config.replacen('{', &format!("{{\"logit_scale\": {scale}, \"logit_bias\": {bias},"), 1);
    fs::write(folder.path().join("config.json"), config).unwrap();
    hub.publish_folder(SIGLIP, folder.path());
    let mut client = cluster.connect();
    assert_eq!(install(&mut client, SIGLIP).unwrap(), SIGLIP);
    let query = "SELECT label, probability, similarity FROM clip_classify(\
        clip_embed_text('a red dog', $1), ARRAY['dog', 'a red dog', 'house'], template => '{}', model => $1)";
    let rows = client.query(query, &[&SIGLIP]).unwrap();
    assert_eq!(rows[0].get::<_, &str>(0), "a red dog");
    for row in &rows {
        let (probability, similarity): (f32, f32) = (row.get(1), row.get(2));
        let sigmoid = 1.0 / (1.0 + (-(scale * f64::from(similarity) + bias)).exp());
        assert!((f64::from(probability) - sigmoid).abs() < 1e-5, "{row:?}: {sigmoid}");
    }
    let all: f32 = rows.iter().map(|row| row.get::<_, f32>(1)).sum();
    assert!(all > 1.01, "each label has a probability of its own, not a share: {all}");
}

#[test]
fn cancelled_timed_out_and_terminated() {
    let (hub, cluster) = start();
    // One that the download before did not get to would be one too many.
    let stalled = || {
        hub.mend();
        hub.fault(TEXT, Fault::Stall(1000, Duration::from_secs(120)));
    };
    let wait = || {
        wait_until("it downloads", Duration::from_secs(20), || {
            cluster.model_commands().len() == 1 && hub.seen().iter().any(|seen| seen.path.contains("text_model"))
        });
    };
    let gone = || wait_until("the child is gone", Duration::from_secs(20), || cluster.model_commands().is_empty());

    // By the client.
    stalled();
    let mut client = cluster.connect();
    let token = client.cancel_token();
    let installing = std::thread::spawn(move || {
        let said = refusal(install(&mut client, NAME));
        (client, said)
    });
    wait();
    let since = Instant::now();
    token.cancel_query(NoTls).unwrap();
    let (mut client, error) = installing.join().unwrap();
    assert_eq!(error.code().code(), "57014");
    assert!(since.elapsed() < Duration::from_secs(20), "{:?}", since.elapsed());
    wait_out_cancel(&mut client);
    gone();

    // By its own limit, in the same session.
    stalled();
    client.batch_execute("SET statement_timeout = '2s'").unwrap();
    assert_eq!(refusal(install(&mut client, NAME)).code().code(), "57014");
    gone();
    assert_nothing_installed(&cluster);
    client.batch_execute("RESET statement_timeout").unwrap();

    // By an administrator.
    stalled();
    hub.forget();
    let mut other = cluster.connect();
    let pid: i32 = other.query_one("SELECT pg_backend_pid()", &[]).unwrap().get(0);
    let installing = std::thread::spawn(move || drop(install(&mut other, NAME).unwrap_err()));
    wait();
    client.query("SELECT pg_terminate_backend($1)", &[&pid]).unwrap();
    installing.join().unwrap();
    gone();

    // And nobody has left anything in the way.
    hub.mend();
    install(&mut client, NAME).unwrap();
    assert_eq!(embed_text_with(&mut client, "x", NAME).unwrap().len(), DIMENSION);
    cluster.assert_sessions_survived();
}

#[test]
fn two_sessions_at_once() {
    let (hub, cluster) = start();
    hub.fault(TEXT, Fault::Stall(1000, Duration::from_secs(1)));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| install(&mut cluster.connect(), NAME).unwrap());
        }
    });
    assert_eq!(hub.seen().iter().filter(|seen| seen.to_cdn && seen.path.contains("vision_model")).count(), 1);
    assert_eq!(embed_text_with(&mut cluster.connect(), "x", NAME).unwrap().len(), DIMENSION);
}

#[test]
fn a_killed_child_is_an_error() {
    let (hub, cluster) = start();
    hub.fault(TEXT, Fault::Stall(1000, Duration::from_secs(120)));
    let mut client = cluster.connect();
    let installing = std::thread::spawn(move || report(install(&mut client, NAME)));
    wait_until("it downloads", Duration::from_secs(20), || {
        hub.seen().iter().any(|seen| seen.path.contains("text_model"))
    });
    cluster.model_commands()[0].kill();
    let said = installing.join().unwrap();
    assert!(
        said.starts_with("58000: clip-search-server was terminated by signal 9 while it worked on a model"),
        "{said}"
    );
    assert_nothing_installed(&cluster);
    // It may not have got to what stalls.
    hub.mend();
    install(&mut cluster.connect(), NAME).unwrap();
    cluster.assert_sessions_survived();
}

#[test]
fn model_dirs_that_are_wrong() {
    let (_hub, cluster) = start();
    let models = cluster.models();
    let mut client = cluster.connect();
    embed_text_with(&mut client, "x", "clip-search/emoji").unwrap();
    let golden = models.join("golden");
    for (value, words) in [
        ("some/folder", "clip_search.model_dir is not an absolute path"),
        ("~/models", "clip_search.model_dir begins with ~"),
        ("/no/such/folder", "the folder that clip_search.model_dir names does not exist"),
        (golden.to_str().unwrap(), "clip_search.model_dir names an owner's folder"),
        ("/etc/passwd", "what clip_search.model_dir names is not a folder"),
    ] {
        cluster.reconfigure(&[("clip_search.model_dir", value)]);
        cluster.wait_for_log(words);
        let said = report(embed_text_with(&mut cluster.connect(), "x", "no/such"));
        assert!(said.to_lowercase().contains(&words.to_lowercase()), "{value}: {said}");
        assert!(!said.contains(value), "paths are not for everybody: {said}");
    }
    cluster.reconfigure(&[("clip_search.model_dir", "models")]);
    wait_until("the session takes the setting", Duration::from_secs(10), || {
        report(install(&mut cluster.connect(), NAME))
            .starts_with("22023: clip_search.model_dir is not an absolute path")
    });
    cluster.reconfigure(&[("clip_search.model_dir", models.to_str().unwrap())]);
    wait_until("the models are found", Duration::from_secs(10), || {
        embed_text_with(&mut cluster.connect(), "x", "golden/small").is_ok()
    });
}

#[test]
fn models_that_cannot_be_used_are_listed_with_the_reason() {
    let cluster = Cluster::on_demand();
    let put = |name: &str, file: &str, content: &[u8]| {
        let path = cluster.models().join(name).join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    };
    for entry in ["config.json", "preprocessor_config.json", "tokenizer.json", "tokenizer_config.json"] {
        for name in ["bad/pointer", "bad/data", "bad/newer", "bad/cut", "bad/one"] {
            put(name, entry, &fs::read(golden().join(entry)).unwrap());
        }
    }
    let graph = fs::read(golden().join(TEXT)).unwrap();
    let image = fs::read(golden().join("onnx/vision_model.onnx")).unwrap();
    for name in ["bad/pointer", "bad/data", "bad/newer", "bad/cut"] {
        put(name, "onnx/vision_model.onnx", &image);
    }
    put("bad/pointer", TEXT, b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n");
    // ModelProto: ir_version 8, graph { initializer { external_data { key: location, value: weights.bin } } }.
    let location = b"\x0a\x08location\x12\x0bweights.bin";
    let tensor = [&b"\x6a"[..], &[location.len() as u8], location].concat();
    let inner = [&b"\x2a"[..], &[tensor.len() as u8], &tensor].concat();
    put("bad/data", TEXT, &[&b"\x08\x08\x3a"[..], &[inner.len() as u8], &inner].concat());
    assert_eq!(graph[0], 8, "the golden graph begins with its version");
    put("bad/newer", TEXT, &[&b"\x08\x63"[..], &graph[2..]].concat());
    put("bad/cut", TEXT, &graph[..graph.len() / 2]);
    put("bad/weights", "config.json", b"{}");
    put("bad/weights", "model.safetensors", b"x");
    put("bad/one", TEXT, &graph);
    put("bad/sentences", "modules.json", b"[]");
    put("bad/sentences", "0_CLIPModel/model.onnx", &graph);
    let mut client = cluster.connect();
    let rows =
        client.query("SELECT name, error FROM clip_models() WHERE name LIKE 'bad/%' ORDER BY name", &[]).unwrap();
    let errors: Vec<(String, String)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let expected = [
        ("bad/cut", "onnx/text_model.onnx is not a whole ONNX file"),
        ("bad/data", "onnx/text_model.onnx has its weights in weights.bin, which is missing"),
        ("bad/newer", "onnx/text_model.onnx is in version 99 of the ONNX format, this ONNX Runtime reads up to "),
        ("bad/one", "one of text_model.onnx and vision_model.onnx is missing, in any precision"),
        ("bad/pointer", "onnx/text_model.onnx is a Git LFS pointer, not the file itself"),
        ("bad/sentences", "the layout of sentence-transformers"),
        ("bad/weights", "PyTorch weights only (model.safetensors)"),
    ];
    assert_eq!(errors.len(), expected.len(), "{errors:?}");
    for ((name, error), (wanted, words)) in errors.iter().zip(expected) {
        assert_eq!(name, wanted);
        assert!(error.contains(words), "{name}: {error}");
    }
}
