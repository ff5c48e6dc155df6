//! The smoke run of the target `jpeg`.

#[test]
fn jpeg() {
    fuzz_targets::smoke("jpeg", 3_000);
}
