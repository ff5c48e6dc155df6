//! Everything that a user may pass, and what must not happen to it.

use cluster_tests::{Cluster, DIMENSION, cosine, counters, embed_image, embed_text, image, refusal};

fn assert_unit(vector: &[f32]) {
    assert_eq!(vector.len(), DIMENSION);
    assert!((cosine(vector, vector) - 1.0).abs() < 1e-4, "{vector:?}");
}

#[test]
fn texts() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    for text in ["", " ", " \t\r\n ", "x", "été 猫 🍎", "\u{1}\u{7f}\u{fffd}", "<|endoftext|>", "'; DROP TABLE x; --"]
    {
        assert_unit(&embed_text(&mut client, text).unwrap_or_else(|error| panic!("{text:?}: {error:?}")));
    }
    let head = "word ".repeat(1000);
    let long = "word ".repeat(10_000);
    let vectors = [&head, &long].map(|text| embed_text(&mut client, text).unwrap());
    assert_unit(&vectors[1]);
    assert!(cosine(&vectors[0], &vectors[1]) > 0.99999, "what is over the context length does not count");
    assert_unit(&embed_text(&mut client, &"x".repeat(50_000)).unwrap());
    assert_unit(&embed_text(&mut client, &"猫".repeat(50_000)).unwrap());
    cluster.assert_sessions_survived();
}

#[test]
fn null_gives_null_and_asks_nobody() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    let row = client
        .query_one(
            "SELECT clip_embed_text(NULL) IS NULL, clip_embed_text('x', NULL) IS NULL,
                    clip_embed_image(NULL) IS NULL, clip_embed_image('x', NULL) IS NULL,
                    clip_embed_texts(NULL) IS NULL, clip_embed_images(NULL) IS NULL",
            &[],
        )
        .unwrap();
    assert!((0..6).all(|column| row.get::<_, bool>(column)));
    assert!(cluster.servers().is_empty());
}

#[test]
fn arrays() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    let texts: Vec<Option<&str>> = vec![Some("a"), None, Some(""), Some("a"), None];
    let rows = client
        .query("SELECT v::real[] FROM unnest(clip_embed_texts($1)) WITH ORDINALITY u(v, n) ORDER BY n", &[&texts])
        .unwrap();
    let vectors: Vec<Option<Vec<f32>>> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(vectors.len(), texts.len());
    for (text, vector) in texts.iter().zip(&vectors) {
        assert_eq!(text.is_some(), vector.is_some());
        if let (Some(text), Some(vector)) = (text, vector) {
            assert!(cosine(vector, &embed_text(&mut client, text).unwrap()) > 0.99999);
        }
    }
    let spent = counters(&mut client);
    for empty in [
        "clip_embed_texts('{}')",
        "clip_embed_images('{}')",
        "clip_embed_texts('{NULL}', 'golden/small')",
        "clip_embed_images(ARRAY[NULL, NULL]::bytea[])",
    ] {
        let query = format!("SELECT coalesce(cardinality(array_remove({empty}, NULL)), 0)");
        assert_eq!(client.query_one(&query, &[]).unwrap().get::<_, i32>(0), 0, "{empty}");
    }
    assert_eq!(counters(&mut client).requests, spent.requests);
    let refused = refusal(client.query("SELECT clip_embed_texts(ARRAY[['a', 'b'], ['c', 'd']])", &[]));
    assert_eq!(refused.code().code(), "2202E", "{refused:?}");
    let lower: i32 =
        client.query_one("SELECT cardinality(clip_embed_texts('[5:6]={a,b}'::text[]))", &[]).unwrap().get(0);
    assert_eq!(lower, 2);
}

#[test]
fn failing_element_is_named() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    let images: Vec<Option<Vec<u8>>> = vec![Some(image("small.png")), None, Some(b"no image".to_vec())];
    let error = refusal(client.query("SELECT clip_embed_images($1)", &[&images]));
    assert_eq!(error.code().code(), "22P03");
    assert!(error.detail().unwrap().contains("element 3"), "{error:?}");
}

#[test]
fn many_items_in_one_call() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    let count: i32 = client
        .query_one("SELECT cardinality(clip_embed_texts(array_agg('text ' || i))) FROM generate_series(1, 1000) i", &[])
        .unwrap()
        .get(0);
    assert_eq!(count, 1000);
    assert_eq!(counters(&mut client).texts, 1000);
}

#[test]
fn images_of_every_format() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    for name in [
        "alpha.png",
        "deep_rgb.png",
        "gray_alpha.png",
        "lossless.webp",
        "one_bit.png",
        "one_pixel.png",
        "palette.png",
        "photo.bmp",
        "photo.gif",
        "photo.tiff",
        "photo.webp",
        "photo_420.jpg",
        "progressive.jpg",
        "tall.png",
        "wide.png",
    ] {
        assert_unit(&embed_image(&mut client, &image(name)).unwrap_or_else(|error| panic!("{name}: {error:?}")));
    }
}

/// A PNG that says it is 60,000 pixels wide and high: 14 GB when decoded.
fn bomb() -> Vec<u8> {
    let mut png = image("noise.png");
    png[16..20].copy_from_slice(&60_000_u32.to_be_bytes());
    png[20..24].copy_from_slice(&60_000_u32.to_be_bytes());
    let crc = crc32(&png[12..29]);
    png[29..33].copy_from_slice(&crc.to_be_bytes());
    png
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    })
}

#[test]
fn images_that_are_none() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    embed_image(&mut client, &image("small.png")).unwrap();
    let server = cluster.server();
    let jpeg = image("photo_444.jpg");
    let png = image("noise.png");
    for (what, bytes, codes) in [
        ("nothing", vec![], "22P03"),
        ("a word", b"image".to_vec(), "22P03"),
        ("zeros", vec![0; 100_000], "22P03"),
        ("a JPEG's first bytes", jpeg[..20].to_vec(), "22P03"),
        ("half a PNG", png[..png.len() / 2].to_vec(), "22P03"),
        ("a bomb", bomb(), "54000"),
    ] {
        let error = refusal(embed_image(&mut client, &bytes));
        assert_eq!(error.code().code(), codes, "{what}: {error:?}");
        assert!(error.hint().is_some(), "{what}: {error:?}");
    }
    // A JPEG that breaks off may be refused, or decoded as the reference does; it is no crash.
    match embed_image(&mut client, &jpeg[..jpeg.len() / 2]) {
        Ok(vector) => assert_unit(&vector),
        error => assert_eq!(refusal(error).code().code(), "22P03"),
    }
    assert_eq!(cluster.server(), server);
    assert_unit(&embed_image(&mut client, &jpeg).unwrap());
    cluster.assert_sessions_survived();
}

#[test]
fn stored_compressed_and_out_of_line() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    client.batch_execute("CREATE TABLE t (image bytea, words text)").unwrap();
    let (image, words) = (image("photo.bmp"), "word ".repeat(10_000));
    client.execute("INSERT INTO t VALUES ($1, $2)", &[&image, &words]).unwrap();
    let row =
        client.query_one("SELECT clip_embed_image(image)::real[], clip_embed_text(words)::real[] FROM t", &[]).unwrap();
    assert_eq!(row.get::<_, Vec<f32>>(0), embed_image(&mut client, &image).unwrap());
    assert_eq!(row.get::<_, Vec<f32>>(1), embed_text(&mut client, &words).unwrap());
}
