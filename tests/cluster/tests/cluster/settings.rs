//! The settings: who may set them, and that each takes effect when it says so.

use cluster_tests::{
    Cluster, DIMENSION, MODEL, cosine, counters, embed_image, embed_text, embed_text_with, image, refusal, wait_until,
};
use postgres::Client;
use postgres::error::DbError;
use std::fs;
use std::path::Path;
use std::time::Duration;

const TAKES_EFFECT: Duration = Duration::from_secs(10);

/// The SQLSTATE and all of an error once a reload has made `ask` fail.
fn refused_after_reload<T: std::fmt::Debug>(mut ask: impl FnMut() -> Result<T, postgres::Error>) -> DbError {
    let mut error = None;
    wait_until("the setting takes effect", TAKES_EFFECT, || {
        let result = ask();
        if result.is_err() {
            error = Some(refusal(result));
        }
        error.is_some()
    });
    error.unwrap()
}

fn execution_provider(client: &mut Client) -> Option<String> {
    let query = "SELECT execution_provider FROM clip_models() WHERE name = $1";
    client.query_one(query, &[&MODEL]).unwrap().get(0)
}

#[test]
fn server_wide_settings_are_not_per_session() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    embed_text(&mut client, "load the library").unwrap();
    for (setting, value) in [
        ("device", "cpu"),
        ("precision", "fp32"),
        ("on_long_text", "error"),
        ("threads", "1"),
        ("max_batch", "1"),
        ("max_image_bytes", "1000"),
        ("max_image_pixels", "1000"),
        ("image_timeout", "1s"),
        ("sandbox", "off"),
        ("server_idle_timeout", "10"),
        ("model_dir", "/"),
        ("onnxruntime_library", "/"),
        ("server_program", "/"),
    ] {
        let error = refusal(client.batch_execute(&format!("SET clip_search.{setting} = '{value}'")));
        assert_eq!(error.code().code(), "55P02", "{setting}");
    }
    for (setting, value) in [("model", MODEL), ("request_timeout", "10s"), ("start_timeout", "10s")] {
        client.batch_execute(&format!("SET clip_search.{setting} = '{value}'")).unwrap();
    }
}

#[test]
fn prefix_is_reserved() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    embed_text(&mut client, "load the library").unwrap();
    assert!(client.batch_execute("SET clip_search.modle = 'x'").is_err());
}

#[test]
fn model_is_per_session() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    let expected = embed_text(&mut client, "x").unwrap();
    client.batch_execute("SET clip_search.model = 'no/such'").unwrap();
    let error = refusal(embed_text(&mut client, "x"));
    assert_eq!(error.code().code(), "42704", "{error:?}");
    assert!(error.message().contains("no/such") && error.hint().is_some(), "{error:?}");
    assert_eq!(embed_text_with(&mut client, "x", MODEL).unwrap(), expected);
    for name in ["../../etc", "/etc/passwd", "", "golden", "golden/small/onnx", "golden/../golden/small", "a/b\u{e9}"] {
        client.query("SELECT set_config('clip_search.model', $1, false)", &[&name]).unwrap();
        let code = refusal(embed_text(&mut client, "x")).code().code().to_owned();
        assert!(["22023", "42704"].contains(&&*code), "{name:?}: {code}");
    }
}

#[test]
fn max_image_bytes() {
    let cluster = Cluster::on_demand();
    let image = image("photo_444.jpg");
    embed_image(&mut cluster.connect(), &image).unwrap();
    cluster.reconfigure(&[("clip_search.max_image_bytes", "100")]);
    let error = refused_after_reload(|| embed_image(&mut cluster.connect(), &image));
    assert_eq!(error.code().code(), "54000");
    assert!(error.hint().unwrap().contains("clip_search.max_image_bytes"));
}

#[test]
fn max_image_pixels() {
    let cluster = Cluster::on_demand();
    let image = image("photo_444.jpg");
    let server = {
        embed_image(&mut cluster.connect(), &image).unwrap();
        cluster.server()
    };
    cluster.reconfigure(&[("clip_search.max_image_pixels", "100")]);
    let error = refused_after_reload(|| embed_image(&mut cluster.connect(), &image));
    assert_eq!(error.code().code(), "54000");
    assert!(error.hint().unwrap().contains("clip_search.max_image_pixels"));
    assert_eq!(cluster.server(), server, "a reload keeps the server");
}

#[test]
fn on_long_text() {
    let cluster = Cluster::on_demand();
    let long = "apple ".repeat(2000);
    embed_text(&mut cluster.connect(), &long).unwrap();
    cluster.reconfigure(&[("clip_search.on_long_text", "error")]);
    let error = refused_after_reload(|| embed_text(&mut cluster.connect(), &long));
    assert_eq!(error.code().code(), "54000");
    assert!(error.hint().unwrap().contains("clip_search.on_long_text"));
    embed_text(&mut cluster.connect(), "apple").unwrap();
}

#[test]
fn threads_and_max_batch() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    let query = "SELECT v::real[] FROM unnest(clip_embed_texts(ARRAY['a', 'b b', 'c', 'd', 'e'])) v";
    let vectors = |client: &mut Client| -> Vec<Vec<f32>> {
        client.query(query, &[]).unwrap().iter().map(|row| row.get(0)).collect()
    };
    let before = vectors(&mut client);
    let server = cluster.server();
    cluster.reconfigure(&[("clip_search.threads", "1"), ("clip_search.max_batch", "2")]);
    cluster.wait_for_log("took new settings; models are loaded anew");
    let after = vectors(&mut client);
    assert_eq!(after.len(), 5);
    assert!(before.iter().zip(&after).all(|(one, other)| cosine(one, other) > 0.99999));
    assert_eq!(cluster.server(), server, "a reload keeps the server");
}

#[test]
fn precision() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    let full = embed_text(&mut client, "a red apple").unwrap();
    cluster.reconfigure(&[("clip_search.precision", "fp16")]);
    let mut half = full.clone();
    wait_until("the setting takes effect", TAKES_EFFECT, || {
        half = embed_text(&mut cluster.connect(), "a red apple").unwrap();
        half != full
    });
    assert!(cosine(&full, &half) > 0.999);
    wait_until("a session with the old vector in its memo gives the new one", TAKES_EFFECT, || {
        embed_text(&mut client, "a red apple").unwrap() == half
    });
    cluster.reconfigure(&[("clip_search.precision", "int4")]);
    let error = refused_after_reload(|| embed_text(&mut cluster.connect(), "a red apple"));
    assert_eq!(error.code().code(), "55000", "{error:?}");
    assert!(error.hint().unwrap().contains("clip_search.precision"), "{error:?}");
}

/// Graphs that ONNX Runtime cannot optimise are run as they are, which the log says.
#[test]
fn precision_whose_graphs_cannot_be_optimized() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    let image = image("photo.bmp");
    let text = embed_text(&mut client, "a red apple").unwrap();
    let picture = embed_image(&mut client, &image).unwrap();
    let spelled_out = Path::new(env!("CARGO_MANIFEST_DIR")).join("../golden/spelled_out");
    for file in ["text_model_fp16.onnx", "vision_model_fp16.onnx"] {
        fs::copy(spelled_out.join(file), cluster.models().join(MODEL).join("onnx").join(file)).unwrap();
    }
    cluster.reconfigure(&[("clip_search.precision", "fp16")]);
    let mut half = text.clone();
    wait_until("the setting takes effect", TAKES_EFFECT, || {
        half = embed_text(&mut cluster.connect(), "a red apple").unwrap();
        half != text
    });
    assert!(cosine(&text, &half) > 0.999);
    let half = embed_image(&mut cluster.connect(), &image).unwrap();
    assert!(half != picture && cosine(&picture, &half) > 0.999);
    for encoder in ["text", "image"] {
        let loaded = format!("loaded the {encoder} encoder of model \"{MODEL}\" (fp16)");
        // The server's lines pass through the supervisor, and may come after its answer.
        cluster.wait_for_log(&loaded);
        let log = cluster.log();
        let line = log.lines().find(|line| line.contains(&loaded)).expect(&loaded);
        assert!(line.contains("graph optimization level disabled"), "{line}");
    }
}

#[test]
fn model_dir() {
    let cluster = Cluster::on_demand();
    embed_text(&mut cluster.connect(), "x").unwrap();
    cluster.reconfigure(&[("clip_search.model_dir", "/nonexistent")]);
    let error = refused_after_reload(|| embed_text(&mut cluster.connect(), "x"));
    assert_eq!(error.code().code(), "42704", "{error:?}");
    let models = cluster.models();
    cluster.reconfigure(&[("clip_search.model_dir", models.to_str().unwrap())]);
    wait_until("the models are found again", TAKES_EFFECT, || embed_text(&mut cluster.connect(), "x").is_ok());
}

#[test]
fn server_idle_timeout() {
    let cluster = Cluster::builder().set("clip_search.server_idle_timeout", 3).start();
    let mut client = cluster.connect();
    embed_text(&mut client, "x").unwrap();
    for text in ["y", "z"] {
        wait_until("the server ends for want of work", Duration::from_secs(10), || cluster.servers().is_empty());
        assert_eq!(cluster.supervisors().len(), 1);
        assert_eq!(embed_text(&mut client, text).unwrap().len(), DIMENSION);
        assert_eq!(cluster.servers().len(), 1);
    }
    cluster.reconfigure(&[("clip_search.server_idle_timeout", "0")]);
    cluster.assert_sessions_survived();
}

#[test]
fn restart_of_an_idle_server() {
    let cluster = Cluster::builder().set("clip_search.server_idle_timeout", 3).start();
    let mut client = cluster.connect();
    embed_text(&mut client, "x").unwrap();
    wait_until("the server ends for want of work", Duration::from_secs(10), || cluster.servers().is_empty());
    client.query("SELECT clip_restart_server()", &[]).unwrap();
    wait_until("another server was started", Duration::from_secs(10), || {
        cluster.log().matches("started clip-search-server").count() == 2
    });
    assert_eq!(embed_text(&mut client, "y").unwrap().len(), DIMENSION);
}

/// With the library for the CPU, which is what `make install` installs.
#[test]
fn device() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    embed_text(&mut client, "auto").unwrap();
    assert_eq!(execution_provider(&mut client).as_deref(), Some("cpu"));

    cluster.reconfigure(&[("clip_search.device", "cuda")]);
    let error = refused_after_reload(|| embed_text(&mut cluster.connect(), "cuda"));
    assert_eq!(error.code().code(), "58000", "{error:?}");
    let message = error.message().to_lowercase();
    assert!(message.contains("cuda"), "{error:?}");
    assert!(error.hint().unwrap().contains("clip_search.device"), "{error:?}");

    cluster.reconfigure(&[("clip_search.device", "nonsense")]);
    wait_until("the setting takes effect", TAKES_EFFECT, || {
        let error = refusal(embed_text(&mut cluster.connect(), "nonsense"));
        assert!(error.hint().is_some(), "{error:?}");
        error.message().contains("nonsense")
    });

    cluster.reconfigure(&[("clip_search.device", "cpu")]);
    wait_until("the setting takes effect", TAKES_EFFECT, || embed_text(&mut cluster.connect(), "cpu").is_ok());
    assert_eq!(execution_provider(&mut client).as_deref(), Some("cpu"));
    cluster.assert_sessions_survived();
}

/// A new session may ask before anybody else has; its settings are those of the cluster.
#[test]
fn reload_before_the_first_call() {
    let cluster = Cluster::on_demand();
    cluster.reconfigure(&[("clip_search.max_image_pixels", "100")]);
    let error = refused_after_reload(|| embed_image(&mut cluster.connect(), &image("photo_444.jpg")));
    assert_eq!(error.code().code(), "54000");
    assert_eq!(counters(&mut cluster.connect()).images, 0);
}

/// The same JPEG with an EXIF block that says it is to be turned.
fn turned(jpeg: &[u8]) -> Vec<u8> {
    let exif = *b"\xff\xe1\0\x22Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    [&jpeg[..2], &exif, &jpeg[2..]].concat()
}

#[test]
fn how_images_are_read_follows_the_configuration() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    let plain = image("photo_444.jpg");
    let mut similarity = |a: &[u8], b: &[u8]| -> f32 {
        cosine(&embed_image(&mut client, a).unwrap(), &embed_image(&mut client, b).unwrap())
    };
    assert!(similarity(&plain, &turned(&plain)) < 0.999, "turned by default");
    let transparent = image("alpha.png");
    let before = embed_image(&mut cluster.connect(), &transparent).unwrap();
    cluster.reconfigure(&[("clip_search.apply_orientation", "off"), ("clip_search.transparency", "white")]);
    wait_until("the server takes the settings", Duration::from_secs(10), || {
        similarity(&plain, &turned(&plain)) > 0.999_99
    });
    let after = embed_image(&mut cluster.connect(), &transparent).unwrap();
    assert!(cosine(&before, &after) < 0.999, "on white");
}

/// However late the server has a setting that a session knows already.
#[test]
fn vectors_of_old_settings_are_not_remembered() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    let turned = turned(&image("photo_444.jpg"));
    let before = embed_image(&mut client, &turned).unwrap();
    let supervisor = cluster.supervisor();
    supervisor.freeze();
    cluster.reconfigure(&[("clip_search.apply_orientation", "off")]);
    wait_until("the session has the setting", TAKES_EFFECT, || {
        client.query_one("SHOW clip_search.apply_orientation", &[]).unwrap().get::<_, String>(0) == "off"
    });
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(embed_image(&mut client, &turned).unwrap(), before);
    supervisor.thaw();
    wait_until("the server has it, too", TAKES_EFFECT, || embed_image(&mut client, &turned).unwrap() != before);
}

/// A photograph that is large beside the model's input has a vector near to that of the whole, and back again; nobody
/// remembers the other one.
#[test]
fn jpeg_scaling_follows_the_configuration() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    let large = image("../formats/jpeg/large.jpg");
    let exact = embed_image(&mut client, &large).unwrap();
    cluster.reconfigure(&[("clip_search.jpeg_scaling", "on")]);
    let mut scaled = Vec::new();
    wait_until("the server takes the setting", Duration::from_secs(10), || {
        scaled = embed_image(&mut client, &large).unwrap();
        scaled != exact
    });
    assert!(cosine(&exact, &scaled) > 0.99, "{}", cosine(&exact, &scaled));
    cluster.reconfigure(&[("clip_search.jpeg_scaling", "off")]);
    wait_until("the server takes the setting back", Duration::from_secs(10), || {
        embed_image(&mut client, &large).unwrap() == exact
    });
}

/// The levels of an image's 16 bits are taken, or cut as PIL does.
#[test]
fn deep_gray_follows_the_configuration() {
    let cluster = Cluster::on_demand();
    let deep = image("deep_gray.png");
    let before = embed_image(&mut cluster.connect(), &deep).unwrap();
    cluster.reconfigure(&[("clip_search.gray16", "pil")]);
    wait_until("the server takes the setting", Duration::from_secs(10), || {
        cosine(&before, &embed_image(&mut cluster.connect(), &deep).unwrap()) < 0.999
    });
}

/// What there is of a truncated image, with a WARNING; alone, in an array, in a table that is backfilled, as a thumbnail.
#[test]
fn truncated_images_follow_the_configuration() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    let whole = image("photo_444.jpg");
    let cut = whole[..whole.len() * 3 / 4].to_vec();
    let refused = refusal(embed_image(&mut client, &cut));
    assert_eq!(refused.code().code(), "22P03", "{refused:?}");
    cluster.reconfigure(&[("clip_search.on_truncated", "decode")]);
    wait_until("the server takes the setting", Duration::from_secs(10), || embed_image(&mut client, &cut).is_ok());

    let (mut client, notices) = cluster.connect_with_notices();
    let part = embed_image(&mut client, &cut).unwrap();
    let alike = cosine(&part, &embed_image(&mut client, &whole).unwrap());
    assert!((0.3..0.999_9).contains(&alike), "{alike}");
    let warnings = || -> Vec<DbError> { notices.lock().unwrap().drain(..).collect() };
    let said = warnings();
    assert_eq!(said.len(), 1, "{said:?}");
    assert_eq!(said[0].message(), "embedded what there is of a damaged image");
    assert!(said[0].detail().is_some_and(|detail| detail.contains("truncated after")), "{said:?}");
    let query = "SELECT clip_embed_images(ARRAY[$1::bytea, $2::bytea, $1::bytea])::text, (clip_image_info($1)).error";
    let row = client.query_one(query, &[&cut, &whole]).unwrap();
    assert!(row.get::<_, Option<String>>(1).is_some(), "its description says that it is damaged");
    let said = warnings();
    assert_eq!(said.len(), 1, "one for each request: {said:?}");
    assert!(
        said[0].detail().is_some_and(|detail| detail.contains("number 1") && detail.contains("1 more")),
        "{said:?}"
    );
    client
        .batch_execute(
            "CREATE TABLE photos (id int PRIMARY KEY, image bytea, embedding vector);
             ALTER TABLE photos ALTER image SET STORAGE EXTERNAL",
        )
        .unwrap();
    client.execute("INSERT INTO photos VALUES (1, $1, NULL), (2, $2, NULL)", &[&whole, &cut]).unwrap();
    client.batch_execute("CALL clip_embed_table('photos', 'image', 'embedding')").unwrap();
    let embedded: i64 = client.query_one("SELECT count(embedding) FROM photos", &[]).unwrap().get(0);
    assert_eq!(embedded, 2);
    assert!(client.query_one("SELECT clip_thumbnail($1, 16)", &[&cut]).is_ok());
}
