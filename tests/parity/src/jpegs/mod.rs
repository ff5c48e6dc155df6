//! JPEG files of every kind, the same each time, and what Pillow makes of them: tests/golden/jpegs.json, which
//! make_jpegs.py writes from the files that `write-jpegs` writes.
//!
//! ```text
//! random    numbers
//! writer    a recipe -> a file
//! digests   jpegs.json
//! mod       the recipes
//! ```

mod digests;
mod random;
mod writer;

pub use digests::JpegDigests;
use random::Random;
use writer::{Component, Recipe, Scan, write};

/// A file and its name.
pub struct Jpeg {
    /// What is special about it, as a file name.
    pub name: String,
    /// The file.
    pub bytes: Vec<u8>,
}

/// Horizontal and vertical sampling of each component.
type Sampling = &'static [(u8, u8)];

const GRAY: [Sampling; 4] = [&[(1, 1)], &[(2, 2)], &[(4, 1)], &[(1, 3)]];
const COLOURS: [Sampling; 22] = [
    &[(1, 1), (1, 1), (1, 1)],
    &[(2, 1), (1, 1), (1, 1)],
    &[(1, 2), (1, 1), (1, 1)],
    &[(2, 2), (1, 1), (1, 1)],
    &[(4, 1), (1, 1), (1, 1)],
    &[(1, 4), (1, 1), (1, 1)],
    &[(4, 2), (1, 1), (1, 1)],
    &[(2, 4), (1, 1), (1, 1)],
    &[(3, 1), (1, 1), (1, 1)],
    &[(1, 3), (1, 1), (1, 1)],
    &[(3, 2), (1, 1), (1, 1)],
    &[(2, 2), (2, 1), (2, 1)],
    &[(2, 2), (1, 2), (1, 2)],
    &[(2, 2), (2, 2), (2, 2)],
    &[(2, 2), (2, 1), (1, 2)],
    // Chroma finer than brightness.
    &[(1, 1), (2, 1), (2, 1)],
    &[(1, 1), (1, 2), (1, 1)],
    &[(1, 1), (2, 2), (1, 1)],
    &[(2, 1), (4, 1), (4, 1)],
    &[(1, 1), (4, 2), (2, 2)],
    // No whole ratio: libjpeg refuses it.
    &[(3, 1), (2, 1), (1, 1)],
    &[(2, 3), (1, 2), (1, 1)],
];
const INKS: [Sampling; 5] = [
    &[(1, 1), (1, 1), (1, 1), (1, 1)],
    &[(2, 2), (1, 1), (1, 1), (2, 2)],
    &[(2, 1), (1, 1), (1, 1), (2, 1)],
    &[(1, 2), (1, 1), (1, 2), (1, 1)],
    &[(1, 1), (2, 2), (2, 1), (4, 1)],
];
const SIZES: [(u16, u16); 8] = [(61, 45), (33, 70), (16, 16), (97, 31), (8, 9), (1, 1), (40, 64), (130, 19)];

/// All files.
///
/// # Panics
/// If two have the same name.
pub fn jpegs() -> Vec<Jpeg> {
    let mut all = Vec::new();
    samplings(&mut all);
    groupings(&mut all);
    progressions(&mut all);
    restarts(&mut all);
    colours(&mut all);
    ends(&mut all);
    damages(&mut all);
    large(&mut all);
    let names: std::collections::HashSet<&str> = all.iter().map(|jpeg| jpeg.name.as_str()).collect();
    assert_eq!(names.len(), all.len(), "two files of one name");
    all
}

fn recipe(sampling: Sampling, seed: u64) -> Recipe {
    let (width, height) = SIZES[seed as usize % SIZES.len()];
    let component = |(index, &(across, down)): (usize, &(u8, u8))| Component { id: index as u8 + 1, across, down };
    let components: Vec<Component> = sampling.iter().enumerate().map(component).collect();
    Recipe {
        width,
        height,
        scans: together(sampling),
        jfif: components.len() != 4,
        components,
        progressive: false,
        restart: 0,
        adobe: None,
        fill: 0,
        long_codes: seed.is_multiple_of(3),
        detail: [3, 9, 30][seed as usize % 3],
        seed,
    }
}

/// One scan, or one for each component where an MCU would have more than ten blocks.
fn together(sampling: Sampling) -> Vec<Scan> {
    let blocks: u32 = sampling.iter().map(|(across, down)| u32::from(*across) * u32::from(*down)).sum();
    let all: Vec<usize> = (0..sampling.len()).collect();
    if blocks <= 10 { vec![Scan::whole(&all)] } else { all.iter().map(|one| Scan::whole(&[*one])).collect() }
}

fn named(sampling: Sampling) -> String {
    sampling.iter().map(|(across, down)| format!("{across}{down}")).collect::<Vec<_>>().join("_")
}

fn push(all: &mut Vec<Jpeg>, name: String, recipe: &Recipe) {
    all.push(Jpeg { name, bytes: write(recipe).0 });
}

/// Every sampling, in several sizes; two components are refused.
fn samplings(all: &mut Vec<Jpeg>) {
    const TWO: [Sampling; 2] = [&[(1, 1), (1, 1)], &[(2, 1), (1, 1)]];
    for (index, sampling) in GRAY.iter().chain(&COLOURS).chain(&INKS).chain(&TWO).enumerate() {
        for round in 0..4 {
            let recipe = recipe(sampling, 1000 + 7 * index as u64 + 3 * round);
            push(all, format!("sampling_{}_{round}", named(sampling)), &recipe);
        }
    }
}

/// Components in several scans, in any order.
fn groupings(all: &mut Vec<Jpeg>) {
    let three: [&[&[usize]]; 7] = [
        &[&[0], &[1], &[2]],
        &[&[0, 1], &[2]],
        &[&[0], &[1, 2]],
        &[&[0, 2], &[1]],
        &[&[2], &[0], &[1]],
        &[&[1, 2], &[0]],
        &[&[1], &[0, 2]],
    ];
    let four: [&[&[usize]]; 4] =
        [&[&[0], &[1], &[2], &[3]], &[&[0, 3], &[1, 2]], &[&[1, 2, 3], &[0]], &[&[3], &[0, 1, 2]]];
    let mut seed = 2000;
    for (samplings, groupings) in [(&COLOURS[..4], &three[..]), (&COLOURS[14..16], &three[..]), (&INKS[..2], &four[..])]
    {
        for sampling in samplings {
            for (index, groups) in groupings.iter().enumerate() {
                let mut recipe = recipe(sampling, seed);
                recipe.scans = groups.iter().map(|group| Scan::whole(group)).collect();
                push(all, format!("scans_{}_{index}", named(sampling)), &recipe);
                seed += 1;
            }
        }
    }
}

/// A usual progression: first bits of all, then the rest in several scans.
fn progression(components: usize, kind: usize) -> Vec<Scan> {
    let all: Vec<usize> = (0..components).collect();
    let part =
        |components: &[usize], first, last, high, low| Scan { components: components.to_vec(), first, last, high, low };
    let mut scans = Vec::new();
    match kind {
        // Spectral selection alone.
        0 => {
            scans.push(part(&all, 0, 0, 0, 0));
            for &one in &all {
                scans.extend([part(&[one], 1, 5, 0, 0), part(&[one], 6, 63, 0, 0)]);
            }
        }
        // Successive approximation.
        1 => {
            scans.push(part(&all, 0, 0, 0, 1));
            scans.extend(all.iter().map(|one| part(&[*one], 1, 5, 0, 2)));
            scans.extend(all.iter().rev().map(|one| part(&[*one], 6, 63, 0, 2)));
            scans.extend(all.iter().map(|one| part(&[*one], 1, 63, 2, 1)));
            scans.push(part(&all, 0, 0, 1, 0));
            scans.extend(all.iter().rev().map(|one| part(&[*one], 1, 63, 1, 0)));
        }
        // Each component's first coefficients apart, and three bits one after the other.
        _ => {
            scans.extend(all.iter().map(|one| part(&[*one], 0, 0, 0, 3)));
            for low in [2, 1, 0] {
                scans.extend(all.iter().map(|one| part(&[*one], 0, 0, low + 1, low)));
            }
            for &one in &all {
                scans.extend([part(&[one], 1, 20, 0, 1), part(&[one], 21, 63, 0, 0), part(&[one], 1, 20, 1, 0)]);
            }
        }
    }
    scans
}

/// Progressive files, whole and ended behind each of their scans.
fn progressions(all: &mut Vec<Jpeg>) {
    let mut seed = 3000;
    let samplings =
        [GRAY[0], COLOURS[0], COLOURS[1], COLOURS[2], COLOURS[3], COLOURS[11], COLOURS[15], INKS[0], INKS[1]];
    for sampling in samplings {
        for kind in 0..3 {
            let mut recipe = recipe(sampling, seed);
            (recipe.progressive, recipe.scans) = (true, progression(sampling.len(), kind));
            let (bytes, starts) = write(&recipe);
            seed += 1;
            let name = format!("progressive_{}_{kind}", named(sampling));
            // All cuts of some, and some of all.
            let every = if [COLOURS[0], COLOURS[3]].contains(&sampling) { 1 } else { 3 };
            for (scan, start) in starts[..starts.len() - 1].iter().enumerate().skip(1).step_by(every) {
                let cut = [&bytes[..*start], &[0xff, 0xd9]].concat();
                all.push(Jpeg { name: format!("{name}_cut{scan}"), bytes: cut });
            }
            all.push(Jpeg { name, bytes });
        }
    }
}

fn restarts(all: &mut Vec<Jpeg>) {
    let mut seed = 4000;
    for sampling in [GRAY[0], COLOURS[0], COLOURS[3], COLOURS[4], INKS[0], INKS[1]] {
        for (restart, progressive) in [(1, false), (3, false), (2, true), (5, true)] {
            let mut recipe = recipe(sampling, seed);
            (recipe.restart, recipe.progressive) = (restart, progressive);
            (recipe.width, recipe.height) = (75, 50);
            if progressive {
                recipe.scans = progression(sampling.len(), 1);
            }
            let kind = if progressive { "progressive" } else { "baseline" };
            push(all, format!("restart_{}_{kind}_{restart}", named(sampling)), &recipe);
            seed += 1;
        }
    }
}

/// What JFIF, Adobe's segment and component numbers say of the colours.
fn colours(all: &mut Vec<Jpeg>) {
    let mut seed: u64 = 5000;
    let names: [(&str, [u8; 4]); 5] =
        [("123", [1, 2, 3, 4]), ("012", [0, 1, 2, 3]), ("rgb", *b"RGBA"), ("cmyk", *b"CMYK"), ("bg", [1, 34, 35, 5])];
    for sampling in [GRAY[0], COLOURS[0], COLOURS[3], INKS[0], INKS[1]] {
        for (name, ids) in names {
            for jfif in [false, true] {
                for adobe in [None, Some(0), Some(1), Some(2)] {
                    // Of one component nothing is asked, and of subsampled ones the same as of others.
                    if (sampling.len() == 1 || sampling != COLOURS[0] && sampling != INKS[0]) && !seed.is_multiple_of(4)
                    {
                        seed += 1;
                        continue;
                    }
                    let mut recipe = recipe(sampling, seed);
                    (recipe.jfif, recipe.adobe) = (jfif, adobe);
                    recipe.components.iter_mut().zip(ids).for_each(|(component, id)| component.id = id);
                    let jfif = if jfif { "_jfif" } else { "" };
                    let adobe = adobe.map(|transform| format!("_adobe{transform}")).unwrap_or_default();
                    push(all, format!("colours_{}_{name}{jfif}{adobe}", named(sampling)), &recipe);
                    seed += 1;
                }
            }
        }
    }
}

/// Without an end marker, with bytes behind it or in its place, with fill bytes, and truncated.
fn ends(all: &mut Vec<Jpeg>) {
    let mut seed = 6000;
    for sampling in [GRAY[0], COLOURS[0], COLOURS[3], COLOURS[8], INKS[1]] {
        for progressive in [false, true] {
            let mut recipe = recipe(sampling, seed);
            (recipe.width, recipe.height) = (50, 60);
            (recipe.progressive, recipe.fill) = (progressive, 0);
            if progressive {
                recipe.scans = progression(sampling.len(), 1);
            }
            let (bytes, starts) = write(&recipe);
            let end = bytes.len() - 2;
            let kind = if progressive { "progressive" } else { "baseline" };
            let name = format!("{}_{kind}", named(sampling));
            let mut add = |what: &str, bytes: Vec<u8>| all.push(Jpeg { name: format!("end_{name}_{what}"), bytes });
            add("none", bytes[..end].to_vec());
            add("half", bytes[..end + 1].to_vec());
            add("zeros", [&bytes[..end], &[0; 40]].concat());
            add("trailer", [&bytes[..], &[7; 99]].concat());
            add("trailer_instead", [&bytes[..end], b"and then some text"].concat());
            add("second_image", [&bytes[..end], &bytes[..]].concat());
            for part in [3, 5, 8, 9] {
                let cut = starts[0] + (end - starts[0]) * part / 10;
                add(&format!("cut{part}"), bytes[..cut].to_vec());
            }
            add("cut_header", bytes[..starts[0] - 7].to_vec());
            (recipe.fill, recipe.restart) = (1 + seed as usize % 3, 4);
            push(all, format!("end_{name}_fill"), &recipe);
            seed += 1;
        }
    }
}

/// Bytes of the scans that are others than they were.
fn damages(all: &mut Vec<Jpeg>) {
    for round in 0..60u64 {
        let sampling = [GRAY[0], COLOURS[0], COLOURS[3], INKS[1]][round as usize % 4];
        let mut recipe = recipe(sampling, 7000 + round);
        (recipe.width, recipe.height) = (80, 56);
        recipe.restart = [0, 0, 4][round as usize % 3];
        recipe.progressive = round % 5 < 2;
        if recipe.progressive {
            recipe.scans = progression(sampling.len(), (round % 3) as usize);
        }
        let (mut bytes, starts) = write(&recipe);
        let mut random = Random::new(round);
        let (from, to) = (starts[0] + 20, bytes.len() - 4);
        for _ in 0..=random.below(4) {
            bytes[from + random.below((to - from) as u64) as usize] = random.below(256) as u8;
        }
        all.push(Jpeg { name: format!("damaged_{round}"), bytes });
    }
}

/// As large as a phone's photo.
fn large(all: &mut Vec<Jpeg>) {
    let mut recipe = recipe(COLOURS[3], 8000);
    (recipe.width, recipe.height, recipe.detail) = (4000, 3000, 4);
    push(all, "large_baseline".to_owned(), &recipe);
    (recipe.progressive, recipe.scans) = (true, progression(3, 1));
    push(all, "large_progressive".to_owned(), &recipe);
}
