//! The smoke run of the target `text`.

#[test]
fn text() {
    fuzz_targets::smoke("text", 500);
}
