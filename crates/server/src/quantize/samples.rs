//! Texts and images that a quantisation is calibrated with and measured on, drawn by this program. Each half has all kinds.

use clip::RgbImage;

/// Of each half.
pub const HALF: usize = 64;
/// Kinds of images, each drawn with several colours and sizes.
const KINDS: usize = 16;

/// What belongs to a half, of samples of some kinds in turn: every other round.
pub fn half<T>(samples: Vec<T>, kinds: usize, first: bool) -> Vec<T> {
    let is_wanted = |index: usize| (index / kinds).is_multiple_of(2) == first;
    samples.into_iter().enumerate().filter(|(index, _)| is_wanted(*index)).map(|(_, sample)| sample).collect()
}

const NOUNS: [&str; 24] = [
    "dog", "cat", "horse", "bird", "child", "old man", "woman", "crowd", "bicycle", "car", "train", "ship", "house",
    "bridge", "church", "mountain", "river", "tree", "flower", "apple", "cake", "chair", "lamp", "shoe",
];
const LOOKS: [&str; 12] = [
    "red",
    "small",
    "blue and white",
    "wooden",
    "old",
    "shiny",
    "black",
    "striped",
    "wet",
    "broken",
    "golden",
    "blurry",
];
const PLACES: [&str; 10] = [
    "on a beach",
    "in the snow",
    "in a kitchen",
    "under a bridge",
    "at night",
    "in a museum",
    "on a white background",
    "in front of a window",
    "beside a lake at sunset",
    "in a crowded street",
];
const STYLES: [&str; 8] = [
    "a photo",
    "an oil painting",
    "a pencil drawing",
    "a black-and-white photograph",
    "a close-up",
    "an aerial view",
    "a screenshot",
    "a poster",
];
const OTHERS: [&str; 16] = [
    "ein Hund am Strand",
    "два велосипеда у стены",
    "夕日の中の船",
    "una casa roja en la montaña",
    "雪の中の猫",
    "كلب على الشاطئ",
    "un vieux pont de bois",
    "강가의 나무",
    "ένα άλογο στο χιόνι",
    "uma flor amarela na janela",
    "स्टेशन पर रेलगाड़ी",
    "een lamp op tafel",
    "rowery przed kościołem",
    "bir bardak çay",
    "en båt i solnedgången",
    "🐶🏖️",
];

/// Kinds of texts.
pub const TEXT_KINDS: usize = 8;

/// Texts of several kinds in turn: words, captions, prompts, other languages, codes, long ones.
pub fn texts() -> Vec<String> {
    (0..2 * HALF).map(|index| text(index % TEXT_KINDS, index / TEXT_KINDS)).collect()
}

fn text(kind: usize, round: usize) -> String {
    let of = |list: &[&'static str], step: usize| list[(round * step + kind) % list.len()];
    let (noun, other, look, place) = (of(&NOUNS, 5), of(&NOUNS, 7), of(&LOOKS, 5), of(&PLACES, 3));
    match kind {
        0 => noun.to_owned(),
        1 => format!("a photo of a {look} {noun}"),
        2 => format!("a {noun} and a {other} {place}"),
        3 => OTHERS[round % OTHERS.len()].to_owned(),
        4 => format!("{} of a {look} {noun} {place}", of(&STYLES, 3)),
        5 => format!(
            "{} NO. {} / {}.{:02} EUR ({look})!",
            noun.to_uppercase(),
            4711 * round,
            7 * round,
            13 * round % 100
        ),
        6 => format!("{look} {other}"),
        _ => {
            let part = |step: usize| {
                format!(
                    "a {} {} {}",
                    LOOKS[(round + step) % 12],
                    NOUNS[(round * step) % 24],
                    PLACES[(round + 3 * step) % 10]
                )
            };
            let parts: Vec<String> = (1..3 + round).map(part).collect();
            format!("a long description of a picture: {}.", parts.join(", "))
        }
    }
}

/// Images of [`KINDS`] kinds in turn: flat, patterned, drawn, like photographs, and noise.
pub fn images() -> Vec<RgbImage> {
    (0..2 * HALF).map(|index| image(index % KINDS, index / KINDS)).collect()
}

/// Kinds of images, for [`half`].
pub const IMAGE_KINDS: usize = KINDS;

/// Integers only, so that it is the same everywhere.
fn image(kind: usize, round: usize) -> RgbImage {
    let (width, height) = [(320, 240), (240, 320), (256, 256), (400, 200)][(kind + round) % 4];
    let mut colours = Random::new(1 + kind as u64 * 31 + round as u64);
    let palette: [[i64; 3]; 6] = std::array::from_fn(|_| std::array::from_fn(|_| colours.below(256)));
    let size = 8 + 9 * round as i64 + kind as i64;
    let ground = Noise::new(1 + kind as u64 + 100 * round as u64);
    let (middle_x, middle_y) = (width / 2, height / 2);
    let boxes: Vec<[i64; 5]> = (0..12)
        .map(|_| {
            [
                colours.below(width),
                colours.below(height),
                10 + colours.below(width / 3),
                10 + colours.below(height / 3),
                colours.below(6),
            ]
        })
        .collect();
    let mut white = Random::new(77 + round as u64);
    draw(width, height, |x, y| {
        let far = (x - middle_x).pow(2) + (y - middle_y).pow(2);
        let pick = |is_first: bool| palette[usize::from(!is_first)];
        match kind {
            0 => mix(palette[0], palette[1], x, width),
            1 => pick((x / size + y / size) % 2 == 0),
            2 => pick(far < (size * 2).pow(2)),
            3 => pick((x + y * round as i64 / 2) / size % 2 == 0),
            4 => std::array::from_fn(|_| white.below(256)),
            5 => palette[usize::from(x < middle_x) + 2 * usize::from(y < middle_y)],
            // A sky above ground.
            6 => {
                let edge = height / 3 + ground.at(x, 0, 60) * height / 1000;
                let rough = ground.at(x, y, 12);
                if y < edge { mix([90, 150, 240], [230, 240, 255], y, edge) } else { shade(palette[0], rough) }
            }
            // Leaves, clouds, stone: noise of several sizes.
            7 => shade(palette[0], (ground.at(x, y, 64) * 4 + ground.at(x, y, 24) * 2 + ground.at(x, y, 7)) / 7),
            8 => mix(palette[0], palette[1], ground.at(x, y, 40 + size), 256),
            // Lines of writing.
            9 => {
                let is_ink = y % 20 < 11 && x > 20 && x < width - 20 && ground.at(x, y / 20 * 20, 5) > 120;
                if is_ink { [20, 20, 24] } else { [250, 249, 244] }
            }
            // Lights in the dark.
            10 => {
                if ground.at(x, y, 15) > 190 {
                    palette[0]
                } else {
                    [6, 8, 14]
                }
            }
            11 => shade([128, 128, 128], 120 + ground.at(x, y, 30) / 12),
            // A face: an ellipse with two darker ones.
            12 => {
                let within = |cx: i64, cy: i64, rx: i64, ry: i64| {
                    (x - cx).pow(2) * ry.pow(2) + (y - cy).pow(2) * rx.pow(2) < (rx * ry).pow(2)
                };
                let eye = |side: i64| within(middle_x + side * 30, middle_y - 20, 9, 6);
                match () {
                    () if eye(-1) || eye(1) || within(middle_x, middle_y + 40, 24, 7) => [40, 20, 20],
                    () if within(middle_x, middle_y, 70, 95) => {
                        shade([224, 172 - size, 140], 200 + ground.at(x, y, 50) / 8)
                    }
                    () => shade(palette[0], ground.at(x, y, 80)),
                }
            }
            13 => boxes
                .iter()
                .rfind(|[left, top, w, h, _]| x >= *left && x < left + w && y >= *top && y < top + h)
                .map_or([245, 245, 245], |found| palette[found[4] as usize]),
            // A thing on white, with a shadow.
            14 => match () {
                () if far < 60_i64.pow(2) => shade(palette[0], 120 + (x - middle_x + 60)),
                () if (x - middle_x - 15).pow(2) + 6 * (y - middle_y - 62).pow(2) < 70_i64.pow(2) => [200, 200, 202],
                () => [255, 255, 255],
            },
            _ => [(x * y % 251), (x * x + y * round as i64) % 241, (x + y * y) % 239],
        }
    })
}

fn draw(width: i64, height: i64, mut pixel: impl FnMut(i64, i64) -> [i64; 3]) -> RgbImage {
    let places = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
    let pixels: Vec<u8> = places.flat_map(|(x, y)| pixel(x, y)).map(|value| value.clamp(0, 255) as u8).collect();
    RgbImage::from_raw(width as u32, height as u32, pixels).expect("three bytes for each pixel")
}

fn mix(from: [i64; 3], to: [i64; 3], part: i64, whole: i64) -> [i64; 3] {
    std::array::from_fn(|channel| from[channel] + (to[channel] - from[channel]) * part / whole.max(1))
}

/// A colour with so much light, of 256.
fn shade(colour: [i64; 3], light: i64) -> [i64; 3] {
    colour.map(|value| value * light / 160)
}

/// Marsaglia's xorshift.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, end: i64) -> i64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 11) % end as u64) as i64
    }
}

/// Values on a lattice, with slopes between them.
struct Noise(u64);

impl Noise {
    fn new(seed: u64) -> Noise {
        Noise(seed)
    }

    /// From 0 to 255, in cells of so many pixels.
    fn at(&self, x: i64, y: i64, cell: i64) -> i64 {
        let corner = |right: i64, down: i64| {
            let place = (x / cell + right) * 7919 + (y / cell + down) * 104_729 + cell;
            let mut random = Random::new(self.0.wrapping_add(place as u64));
            random.below(256);
            random.below(256)
        };
        let (right, down) = (x % cell, y % cell);
        let along = |row: i64| corner(0, row) * (cell - right) + corner(1, row) * right;
        (along(0) * (cell - down) + along(1) * down) / (cell * cell)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn samples_differ_and_both_halves_have_all_kinds() {
        let (texts, images) = (texts(), images());
        let different: HashSet<&[u8]> = images.iter().map(|image| image.as_raw().as_slice()).collect();
        assert_eq!((texts.len(), images.len(), different.len()), (128, 128, 128));
        for first in [true, false] {
            let (texts, images) = (half(texts.clone(), TEXT_KINDS, first), half(images.clone(), IMAGE_KINDS, first));
            assert_eq!((texts.len(), images.len()), (HALF, HALF));
            assert!(texts.iter().any(|text| text.len() > 200) && texts.iter().any(|text| text.len() < 8));
        }
        let words = |first| half(texts.clone(), TEXT_KINDS, first).into_iter().collect::<HashSet<String>>();
        assert!(words(true).intersection(&words(false)).count() <= 4, "what is measured was not seen before");
    }
}
