//! Compiles `src/decoder.c` against the libjpeg-turbo that turbojpeg-sys built.

fn main() {
    println!("cargo:rerun-if-changed=src/decoder.c");
    let include = std::env::var("DEP_TURBOJPEG_INCLUDE").expect("turbojpeg-sys says where its headers are");
    cc::Build::new().file("src/decoder.c").includes(include.split(',')).compile("clip_search_jpeg");
}
