//! 8-bit graphs, made and used through SQL.

use cluster_tests::{Cluster, refusal, wait_out_cancel, wait_until};
use postgres::{Client, NoTls};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

const NAME: &str = "own/emoji";

fn bundled() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/clip-search/emoji").canonicalize().unwrap()
}

/// A cluster whose own folder of models has the emoji model under another name.
fn start() -> (Cluster, Client) {
    let cluster = Cluster::builder().set("clip_search.model_dir", "").set("clip_search.model", NAME).start();
    let mut client = cluster.connect();
    let source = bundled().to_str().unwrap().to_owned();
    client.query("SELECT clip_install_model($1, as_name => $2)", &[&source, &NAME]).unwrap();
    (cluster, client)
}

fn folder(cluster: &Cluster) -> PathBuf {
    cluster.data().join("clip_search_models/own")
}

const VECTORS: &str = "
    SELECT array_agg(clip_embed_text(t)::text ORDER BY t), (SELECT array_agg(e::text) FROM unnest(clip_embed_texts(array_agg(t ORDER BY t))) e)
    FROM unnest(ARRAY['red apple', 'dog', 'a small house beside a tree', 'cat face', 'blue car', 'heart']) t";

/// The vectors of some texts one by one, which are those of one array.
fn vectors(client: &mut Client) -> Vec<Vec<f64>> {
    let row = client.query_one(VECTORS, &[]).unwrap();
    let (alone, together): (Vec<String>, Vec<String>) = (row.get(0), row.get(1));
    assert_eq!(alone, together);
    let numbers = |vector: &String| vector.trim_matches(['[', ']']).split(',').map(|n| n.parse().unwrap()).collect();
    alone.iter().map(numbers).collect()
}

#[test]
fn made_used_and_shown() {
    let (cluster, mut client) = start();
    let exact = vectors(&mut client);
    let shown = "SELECT precision, w8a8 IS NOT NULL, (w8a8->'text'->>'lowest')::float8, error FROM clip_models() WHERE name = $1";
    let row = client.query_one(shown, &[&NAME]).unwrap();
    assert_eq!((row.get("precision"), row.get(1)), (Some("fp32"), false));

    let row = client.query_one("SELECT * FROM clip_quantize_model($1)", &[&NAME]).unwrap();
    let [text, text_median, image, image_median]: [f64; 4] =
        ["text_lowest", "text_median", "image_lowest", "image_median"].map(|name| row.get(name));
    assert!(text >= 0.98 && image >= 0.98 && text_median >= text && image_median > 0.99, "{row:?}");
    // fp32 is still the default.
    let row = client.query_one(shown, &[&NAME]).unwrap();
    assert_eq!((row.get("precision"), row.get(2), row.get("error")), (Some("fp32"), Some(text), None::<&str>));
    assert_eq!(vectors(&mut client), exact);

    client.batch_execute("ALTER SYSTEM SET clip_search.precision = 'w8a8'").unwrap();
    client.batch_execute("SELECT pg_reload_conf()").unwrap();
    wait_until("the precision is another", Duration::from_secs(30), || {
        let mut client = cluster.connect();
        client.query_one(shown, &[&NAME]).unwrap().get::<_, Option<&str>>("precision") == Some("w8a8")
    });
    let mut client = cluster.connect();
    let small = vectors(&mut client);
    let cosine = |(a, b): (&Vec<f64>, &Vec<f64>)| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let near = exact.iter().zip(&small).map(cosine).fold(1.0, f64::min);
    assert!(near > 0.98 && near < 0.999_999, "{near}");
    // One that has none says so.
    let error = refusal(client.query("SELECT clip_embed_text('x', model => 'clip-search/emoji')", &[]));
    assert!(error.message().contains("no w8a8 files"), "{error:?}");
}

#[test]
fn refused_and_cancelled() {
    let (cluster, mut client) = start();
    client.batch_execute("CREATE ROLE ordinary LOGIN").unwrap();
    let mut ordinary = cluster.connect_to("postgres", "ordinary");
    let error = refusal(ordinary.query("SELECT * FROM clip_quantize_model('own/emoji')", &[]));
    assert_eq!(error.code().code(), "42501");
    for (arguments, code, words) in [
        ("NULL", "22004", "name must not be NULL"),
        ("'emoji'", "22023", "is not a model name"),
        ("'--force'", "22023", "is not a model name"),
        ("'own/another'", "42704", "is not installed"),
        // What came with the extension is not changed.
        ("'clip-search/emoji'", "42704", "is not installed"),
    ] {
        let error = refusal(client.query(&format!("SELECT * FROM clip_quantize_model({arguments})"), &[]));
        assert_eq!(error.code().code(), code, "{arguments}: {error:?}");
        assert!(error.message().contains(words) && error.hint().is_some(), "{arguments}: {error:?}");
    }
    let token = client.cancel_token();
    let workshop = folder(&cluster).join(".emoji.work");
    let seen = std::thread::spawn({
        let workshop = workshop.clone();
        move || {
            wait_until("it has begun", Duration::from_secs(30), || workshop.join("onnx").exists());
            token.cancel_query(NoTls).unwrap();
        }
    });
    let error = refusal(client.query("SELECT * FROM clip_quantize_model('own/emoji')", &[]));
    seen.join().unwrap();
    assert_eq!(error.code().code(), "57014");
    wait_out_cancel(&mut client);
    assert_eq!(cluster.model_commands(), []);
    assert!(!folder(&cluster).join("emoji/onnx/text_model_w8a8.onnx").exists());
    // The next deletes what was left.
    client.query("SELECT * FROM clip_quantize_model('own/emoji')", &[]).unwrap();
    assert!(!workshop.exists());
    let files = fs::read_dir(folder(&cluster).join("emoji/onnx")).unwrap().count();
    assert_eq!(files, 4);
    cluster.assert_sessions_survived();
}
