//! What of the settings decides a vector.

use protocol::{Config, Gray16, Transparency};

#[test]
fn settings_that_change_vectors_change_their_number() {
    let plain = Config::default();
    let number = plain.of_vectors();
    for other in [
        Config { precision: "fp16".to_owned(), ..plain.clone() },
        Config { device: "cuda".to_owned(), ..plain.clone() },
        Config { model_roots: vec!["elsewhere".into()], ..plain.clone() },
        Config { transparency: Transparency::White, ..plain.clone() },
        Config { gray16: Gray16::Pil, ..plain.clone() },
        Config { apply_orientation: !plain.apply_orientation, ..plain.clone() },
        Config { jpeg_scaling: !plain.jpeg_scaling, ..plain.clone() },
    ] {
        assert_ne!(other.of_vectors(), number, "{other:?}");
    }
    for same in [Config { restarts: 3, ..plain.clone() }, Config { max_batch: 7, threads: 5, ..plain.clone() }] {
        assert_eq!(same.of_vectors(), number, "{same:?}");
    }
}
