//! Rows whose encoder is on a model server.

use super::{LIMIT, number_of, table, upload, wait_for};
use cluster_tests::{Cluster, MODEL, embed_text, refusal, wait_until};
use std::net::SocketAddr;
use std::time::Duration;

/// A model server of a text encoder: its vectors depend on the ids and on nothing else.
fn model_server(address: SocketAddr) -> played_oip::Server {
    played_oip::Server::start_at(address, None, |request| {
        let (rows, raw) = (request.inputs[0].shape[0] as usize, &request.raw_input_contents[0]);
        let values = raw.chunks(raw.len() / rows).flat_map(|ids| {
            let ids: Vec<f32> = ids
                .as_chunks::<8>()
                .0
                .iter()
                .map(|id| i64::from_le_bytes(*id) as f32)
                .filter(|id| *id < 633.0)
                .collect();
            (0..32).map(move |place| {
                1.0 + ids.iter().enumerate().map(|(at, id)| (id * (at + place) as f32).sin()).sum::<f32>()
            })
        });
        Ok(("text_embeds".to_owned(), 32, values.collect()))
    })
}

/// While no endpoint can be reached, the queue waits: nothing is lost, given up or counted against a row.
#[test]
fn the_queue_waits_for_a_model_server() {
    // An address that no other test listens on, which it gets back.
    let first = model_server("127.0.0.77:0".parse().unwrap());
    let address = first.address();
    let cluster = Cluster::on_demand();
    let json = format!(r#"{{"text": {{"endpoints": ["http://{address}"], "model": "text"}}}}"#);
    let file = cluster.models().join(MODEL).join("remote.json");
    std::fs::write(&file, json).unwrap();
    // The server of this test has another model's vectors than these.
    for file in ["text_model.onnx", "text_model_fp16.onnx"] {
        std::fs::remove_file(cluster.models().join(MODEL).join("onnx").join(file)).unwrap();
    }
    let mut client = cluster.connect();
    table(&mut client);
    upload(&mut client, 0..10);
    wait_for(&mut client, 10);
    drop(first);
    let error = refusal(embed_text(&mut client, "not asked before"));
    assert_eq!(error.code().code(), "08006");
    assert!(error.message().contains(&address.to_string()), "{error}");
    assert!(error.hint().is_some());
    upload(&mut client, 10..40);
    wait_until("an attempt", LIMIT, || {
        number_of(&mut client, "clip_search_internal.clip_embed_queue WHERE last_error LIKE '%can be reached%'") > 0
    });
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(number_of(&mut client, "clip_search_internal.clip_embed_queue"), 30);
    assert_eq!(number_of(&mut client, "clip_search_internal.clip_embed_queue WHERE attempts > 0"), 0);
    assert_eq!(number_of(&mut client, "clip_embed_errors"), 0);
    // What was embedded before is known; nothing of it was taken back.
    assert_eq!(number_of(&mut client, "captions WHERE embedding IS NOT NULL"), 10);
    let _again = model_server(address);
    wait_until("the queue is empty", LIMIT, || number_of(&mut client, "clip_search_internal.clip_embed_queue") == 0);
    wait_for(&mut client, 40);
    cluster.assert_sessions_survived();
}
