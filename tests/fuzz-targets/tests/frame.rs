//! The smoke run of the target `frame`.

#[test]
fn frame() {
    fuzz_targets::smoke("frame", 50_000);
}
