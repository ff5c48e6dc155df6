//! Memory runs out: what the operating system gives to the server, and what the settings let it have.

use cluster_tests::{
    Cluster, DIMENSION, MODEL, Process, bits, embed_image, embed_text, embed_text_with, image, report, wait_until,
};
use postgres::{Client, Error};
use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Bytes of address space that a process has.
fn address_space(process: Process) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", process.0)).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmSize:")).expect("VmSize");
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// The most address space that a process, and those that it starts from now on, may have. Set by PostgreSQL's own user:
/// root may lack the right to.
fn limit_address_space(client: &mut Client, process: Process, bytes: &str) {
    let command = format!("COPY (SELECT) TO PROGRAM 'prlimit --pid {} --as={bytes}:'", process.0);
    client.batch_execute(&command).expect("prlimit, of the package util-linux");
}

/// Two images that take some hundred megabytes when they are decoded.
fn embed_large(client: &mut Client) -> Result<usize, Error> {
    let images = [bits(9000, 9000, 1), bits(9000, 9000, 2)];
    let count = "SELECT cardinality(clip_embed_images($1::bytea[]))";
    client.query_one(count, &[&images.as_slice()]).map(|row| row.get::<_, i32>(0) as usize)
}

/// The next server has memory again, and answers the request that has ended the first.
#[test]
fn server_has_no_memory_once() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    embed_image(&mut client, &image("black.png")).unwrap();
    embed_text(&mut client, "before").unwrap();
    let server = cluster.server();
    // Too little for the bytes of the request.
    let limit = address_space(server) + (8 << 20);
    limit_address_space(&mut client, server, &limit.to_string());
    let said = report(embed_image(&mut client, &vec![0; 60 << 20]));
    assert!(["22P03: ", "53200: ", "08006: "].iter().any(|state| said.starts_with(state)), "{said}");
    assert_ne!(cluster.server(), server, "the limit is too high for this test");
    assert_eq!(embed_text(&mut client, "after").unwrap().len(), DIMENSION);
    cluster.assert_sessions_survived();
}

/// Decoders have memory of their own: a server that could not hold the decoded images has them decoded all the same.
#[test]
fn decoded_images_take_no_memory_of_the_server() {
    let cluster = Cluster::on_demand();
    let mut clients = [cluster.connect(), cluster.connect()];
    for client in &mut clients {
        embed_image(client, &image("black.png")).unwrap();
        embed_text(client, "before").unwrap();
    }
    let server = cluster.server();
    let limit = address_space(server) + (128 << 20);
    limit_address_space(&mut clients[0], server, &limit.to_string());
    for round in 0..2 {
        assert_eq!(embed_large(&mut clients[0]).unwrap(), 2);
        for client in &mut clients {
            assert_eq!(embed_text(client, &format!("after {round}")).unwrap().len(), DIMENSION);
            assert_eq!(embed_image(client, &image("photo_444.jpg")).unwrap().len(), DIMENSION);
        }
    }
    assert_eq!(cluster.server(), server);
    cluster.assert_sessions_survived();
}

/// What the server has at the moment differs from machine to machine.
fn without_what_it_has(said: &str) -> String {
    let (before, behind) = said.split_once("the server has ").expect(said);
    let behind = behind.trim_start_matches(|digit: char| digit.is_ascii_digit());
    format!("{before}the server has N{behind}")
}

#[test]
fn bound_too_small_for_a_model() {
    let cluster = Cluster::builder().set("clip_search.max_server_memory", "1MB").start();
    let mut client = cluster.connect();
    for (encoder, said) in [
        ("text", report(embed_text(&mut client, "x"))),
        ("image", report(embed_image(&mut client, &image("black.png")))),
    ] {
        assert_eq!(
            without_what_it_has(&said),
            format!(
                "53200: model \"golden/small\" ran out of memory: loading its {encoder} encoder needs about 1 MiB, \
                 the server has N MiB, and clip_search.max_server_memory is 1 MiB\n\
                 HINT: Raise clip_search.max_server_memory where it is the limit, lower clip_search.max_batch, or use a \
                 smaller model."
            )
        );
    }
    cluster.reconfigure(&[("clip_search.max_server_memory", "0")]);
    wait_until("it works without the bound", Duration::from_secs(10), || {
        embed_text(&mut cluster.connect(), "x").is_ok_and(|vector| vector.len() == DIMENSION)
    });
    cluster.assert_sessions_survived();
}

fn refused_for_its_bytes(side: usize, needed: u32) {
    let cluster = Cluster::builder().set("clip_search.max_server_memory", "1MB").start();
    let image = bits(side, side, 1);
    let said = without_what_it_has(&report(embed_image(&mut cluster.connect(), &image)));
    let (message, rest) = said.split_once('\n').expect(&said);
    // The image, and the name of the model.
    let length: usize = message.split(' ').find_map(|word| word.parse().ok()).expect(message);
    assert!((image.len()..image.len() + 100).contains(&length), "{message}");
    assert_eq!(message, format!("53200: a request of {length} bytes does not fit into the server's memory"));
    assert_eq!(
        rest,
        format!(
            "DETAIL: It needs {needed} MiB, the server has N MiB, and clip_search.max_server_memory is 1 MiB.\n\
             HINT: Raise clip_search.max_server_memory, or ask for fewer or smaller items at a time."
        )
    );
    cluster.assert_sessions_survived();
}

#[test]
fn bound_too_small_for_a_request() {
    refused_for_its_bytes(1000, 1);
}

/// It is not all sent when it is refused.
#[test]
fn bound_too_small_for_a_request_of_more_than_a_socket_holds() {
    refused_for_its_bytes(6000, 9);
}

/// A model of which loading seems to take two gigabytes: its file of weights has a length, and nothing in it.
#[test]
fn bound_counts_the_weights() {
    let cluster = Cluster::builder().set("clip_search.max_server_memory", "1GB").start();
    let mut client = cluster.connect();
    let weights = cluster.models().join(MODEL).join("onnx/text_model.onnx_data");
    File::create(&weights).unwrap().set_len(1 << 30).unwrap();
    embed_image(&mut client, &image("black.png")).unwrap();
    let said = report(embed_text(&mut client, "x"));
    assert!(said.contains("loading its text encoder needs about 2049 MiB"), "{said}");
    fs::remove_file(&weights).unwrap();
    assert_eq!(
        report(embed_text(&mut client, "x")),
        "55000: the text encoder of model \"golden/small\" cannot be used: its files were replaced while the model was loaded\n\
         HINT: Run SELECT clip_restart_server() as a superuser, and embed again."
    );
    client.query("SELECT clip_restart_server()", &[]).unwrap();
    assert_eq!(embed_text(&mut client, "x").unwrap().len(), DIMENSION);
    assert_eq!(embed_image(&mut client, &image("photo_444.jpg")).unwrap().len(), DIMENSION);
    cluster.assert_sessions_survived();
}

/// Megabytes of weights that [`fatten`] gives an encoder.
const WEIGHTS: u64 = 64;

/// Adds an output to an ONNX graph that is nothing but weights. The messages of this format are merged where one is
/// appended to another.
fn fatten(file: &Path) {
    let bytes = WEIGHTS << 20;
    let field = |number: u64, content: &[u8]| {
        [varint(number << 3 | 2), varint(content.len() as u64), content.to_vec()].concat()
    };
    let number = |field: u64, value: u64| [varint(field << 3), varint(value)].concat();
    // TensorProto: dims, data_type of float, name, and the beginning of raw_data.
    let tensor = [number(1, bytes / 4), number(2, 1), field(8, b"weights"), varint(9 << 3 | 2), varint(bytes)].concat();
    // NodeProto Identity, which makes the output of it; ValueInfoProto: a vector of floats.
    let node = field(1, &[field(1, b"weights"), field(2, b"ballast"), field(4, b"Identity")].concat());
    let shape = field(2, &field(1, &number(1, bytes / 4)));
    let output = field(12, &[field(1, b"ballast"), field(2, &field(1, &[number(1, 1), shape].concat()))].concat());
    let initializer = [varint(5 << 3 | 2), varint(tensor.len() as u64 + bytes), tensor].concat();
    let graph = [node, output, initializer].concat();
    let model = [varint(7 << 3 | 2), varint(graph.len() as u64 + bytes), graph].concat();
    let whole = [fs::read(file).unwrap(), model].concat();
    fs::write(file, &whole).unwrap();
    File::options().write(true).open(file).unwrap().set_len(whole.len() as u64 + bytes).unwrap();
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 128 {
        bytes.push(value as u8 | 128);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// Three models; there is memory for two of them.
#[test]
fn model_that_was_not_used_longest_makes_way() {
    let cluster = Cluster::on_demand();
    let small = cluster.models().join(MODEL);
    fatten(&small.join("onnx/text_model.onnx"));
    for name in ["second", "third"] {
        let copied = Command::new("cp")
            .arg("--recursive")
            .arg("--sparse=always")
            .arg(&small)
            .arg(small.with_file_name(name))
            .status();
        assert!(copied.unwrap().success());
    }
    let mut client = cluster.connect();
    let loaded = |client: &mut Client| -> Vec<String> {
        let query = "SELECT model FROM clip_stat_models WHERE loaded AND encoder = 'text' ORDER BY model";
        client.query(query, &[]).unwrap().iter().map(|row| row.get(0)).collect()
    };
    for (number, model) in ["golden/small", "golden/second", "golden/small"].into_iter().enumerate() {
        embed_text_with(&mut client, &number.to_string(), model).unwrap();
    }
    assert_eq!(loaded(&mut client), ["golden/second", "golden/small"]);
    // Loading takes twice the weights: not beside two others, but beside one.
    let resident: i64 = client.query_one("SELECT resident_bytes FROM clip_stat_server", &[]).unwrap().get(0);
    let bound = (resident as u64 >> 20) + 2 * WEIGHTS - WEIGHTS / 2;
    cluster.reconfigure(&[("clip_search.max_server_memory", &format!("{bound}MB"))]);
    cluster.wait_for_log("took new settings");
    assert_eq!(embed_text_with(&mut client, "x", "golden/third").unwrap().len(), DIMENSION);
    assert_eq!(loaded(&mut client), ["golden/small", "golden/third"]);
    cluster.wait_for_log("unloaded the text encoder of model \"golden/second\"");
    // And back again.
    assert_eq!(embed_text_with(&mut client, "y", "golden/second").unwrap().len(), DIMENSION);
    assert_eq!(loaded(&mut client), ["golden/second", "golden/third"]);
    cluster.assert_sessions_survived();
}
