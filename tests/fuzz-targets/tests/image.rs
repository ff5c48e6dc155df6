//! The smoke run of the target `image`.

#[test]
fn image() {
    fuzz_targets::smoke("image", 2_000);
}
