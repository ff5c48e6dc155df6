//! The smoke run of the target `model`.

#[test]
fn model() {
    fuzz_targets::smoke("model", 1_000);
}
