//! Texts.

use super::Seed;

/// Texts of many scripts and shapes, and bytes that are not UTF-8.
pub fn texts() -> Vec<Seed> {
    let long = "a photo of a cat ".repeat(40);
    let word = "x".repeat(500);
    let texts = [
        "",
        " ",
        "a photo of a cat",
        "A PHOTO of the cat's café, 2024!",
        "we've they'll I'd don't 's 't 're",
        "naïve Zoë e\u{301}\u{323} Å ﬁ Ⅷ İ ß",
        "猫の写真 고양이 صورة قطة תמונה Привет",
        "👩‍👩‍👧‍👦 🏳️‍🌈 🇨🇭 👍🏽",
        "&amp; &lt;b&gt; &#39; &amp;amp;",
        "\0\u{1}\u{7f}\u{85}\u{200b}\u{200d}\u{feff}\u{ad}\u{202e}\u{e000}\u{fffd}\u{10ffff}",
        "\t\r\n\u{a0}\u{2003}\u{3000}  a   b",
        "<|startoftext|>a<|endoftext|>!<|endoftext|>",
        "<|startoftext|",
        "0123456789 ٣ ५ ½ ² 1,000.00",
        &long,
        &word,
    ];
    let mut seeds: Vec<Seed> =
        texts.iter().enumerate().map(|(i, text)| (format!("{i}"), text.as_bytes().to_vec())).collect();
    seeds.push(("not-utf8".to_owned(), b"\xff\xfe caf\xe9 \xed\xa0\x80 \xf4\x90\x80\x80 \xc0\xaf".to_vec()));
    seeds
}
