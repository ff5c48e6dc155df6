//! Writes JPEG files from coefficients: any sampling, any grouping of components into scans, baseline or progressive.

use super::random::Random;

/// Coefficients of a block, in zigzag order.
type Block = [i16; 64];

/// What a file is to be like.
#[derive(Clone)]
pub struct Recipe {
    pub width: u16,
    pub height: u16,
    pub components: Vec<Component>,
    pub scans: Vec<Scan>,
    pub progressive: bool,
    /// MCUs between restart markers; 0 for none.
    pub restart: u16,
    pub jfif: bool,
    /// The transform that an Adobe segment states.
    pub adobe: Option<u8>,
    /// Bytes 0xff before each marker.
    pub fill: usize,
    /// Code tables with codes of 16 bits rather than of 8.
    pub long_codes: bool,
    /// Most of the coefficients that are not zero, of 63.
    pub detail: u64,
    pub seed: u64,
}

/// A component and how often it is sampled.
#[derive(Clone, Copy)]
pub struct Component {
    pub id: u8,
    pub across: u8,
    pub down: u8,
}

/// A scan: components, first and last coefficient, and which bits of them.
#[derive(Clone)]
pub struct Scan {
    pub components: Vec<usize>,
    pub first: usize,
    pub last: usize,
    /// The bit above which the scans before gave all; 0 if there were none.
    pub high: u8,
    pub low: u8,
}

impl Scan {
    /// All coefficients whole.
    pub fn whole(components: &[usize]) -> Self {
        Self { components: components.to_vec(), first: 0, last: 63, high: 0, low: 0 }
    }
}

/// A component's blocks.
struct Plane {
    /// With the blocks that fill the last MCUs.
    blocks: Vec<Block>,
    stride: usize,
    /// Without them.
    across: usize,
    down: usize,
}

/// The file, and where each scan's marker begins.
pub fn write(recipe: &Recipe) -> (Vec<u8>, Vec<usize>) {
    let mut random = Random::new(recipe.seed);
    let mut out = vec![0xff, 0xd8];
    if recipe.jfif {
        segment(&mut out, recipe, 0xe0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0");
    }
    if let Some(transform) = recipe.adobe {
        segment(&mut out, recipe, 0xee, &[b"Adobe\0\x64\0\0\0\0", &[transform][..]].concat());
    }
    let steps: [[u8; 64]; 2] = [0, 1].map(|table| {
        std::array::from_fn(|k| (1 + k as u64 / (4 - table) + random.below(2 + 2 * k as u64)).min(99) as u8)
    });
    for (table, steps) in steps.iter().enumerate() {
        segment(&mut out, recipe, 0xdb, &[&[table as u8][..], steps].concat());
    }
    frame_header(&mut out, recipe);
    for table in 0..2u8 {
        let [dc, ac] = [Codes::new(12, false, table), Codes::new(256, recipe.long_codes, table)];
        segment(&mut out, recipe, 0xc4, &dc.segment(table));
        segment(&mut out, recipe, 0xc4, &ac.segment(0x10 | table));
    }
    if recipe.restart > 0 {
        segment(&mut out, recipe, 0xdd, &recipe.restart.to_be_bytes());
    }
    let planes = planes(recipe, &steps, &mut random);
    let mut starts = Vec::new();
    for scan in &recipe.scans {
        starts.push(out.len());
        let mut head = vec![scan.components.len() as u8];
        for &component in &scan.components {
            let table = table_of(component);
            head.extend([recipe.components[component].id, table << 4 | table]);
        }
        head.extend([scan.first as u8, scan.last as u8, scan.high << 4 | scan.low]);
        segment(&mut out, recipe, 0xda, &head);
        ScanWriter::new(recipe, scan, &planes, &mut out).write();
    }
    starts.push(out.len());
    marker(&mut out, recipe, 0xd9);
    (out, starts)
}

/// The first component has tables of its own, as brightness has.
fn table_of(component: usize) -> u8 {
    u8::from(component > 0)
}

fn marker(out: &mut Vec<u8>, recipe: &Recipe, code: u8) {
    out.extend(std::iter::repeat_n(0xff, recipe.fill));
    out.extend([0xff, code]);
}

fn segment(out: &mut Vec<u8>, recipe: &Recipe, code: u8, content: &[u8]) {
    marker(out, recipe, code);
    out.extend((content.len() as u16 + 2).to_be_bytes());
    out.extend(content);
}

fn frame_header(out: &mut Vec<u8>, recipe: &Recipe) {
    let mut head = vec![8];
    head.extend(recipe.height.to_be_bytes());
    head.extend(recipe.width.to_be_bytes());
    head.push(recipe.components.len() as u8);
    for (index, component) in recipe.components.iter().enumerate() {
        head.extend([component.id, component.across << 4 | component.down, table_of(index)]);
    }
    // More than two tables of a kind, or another order of scans, would be extended sequential; this is baseline.
    segment(out, recipe, if recipe.progressive { 0xc2 } else { 0xc0 }, &head);
}

/// Soft surfaces with some detail, that seldom leave the range of 8 bits.
fn planes(recipe: &Recipe, steps: &[[u8; 64]; 2], random: &mut Random) -> Vec<Plane> {
    let (most_across, most_down) = most(recipe);
    let plane = |(index, component): (usize, &Component)| {
        let steps = &steps[usize::from(table_of(index))];
        let side = |length: u16, factor: u8, most: u8| {
            (usize::from(length) * usize::from(factor)).div_ceil(usize::from(most)).div_ceil(8)
        };
        let mcus = |length: u16, most: u8| usize::from(length).div_ceil(8 * usize::from(most));
        let stride = mcus(recipe.width, most_across) * usize::from(component.across);
        let rows = mcus(recipe.height, most_down) * usize::from(component.down);
        let mut level = random.below(1200) as i64 - 600;
        let blocks = (0..stride * rows).map(|_| {
            let mut block = [0; 64];
            level = (level + random.below(161) as i64 - 80).clamp(-760, 760);
            block[0] = (level / i64::from(steps[0])) as i16;
            for _ in 0..random.below(recipe.detail + 1) {
                let k = 1 + (random.below(63) * random.below(64) / 63) as usize;
                let most = (240 / (k as u64 + 3) / u64::from(steps[k])).max(1);
                block[k] = random.below(2 * most + 1) as i16 - most as i16;
            }
            block
        });
        let blocks = blocks.collect();
        Plane {
            blocks,
            stride,
            across: side(recipe.width, component.across, most_across),
            down: side(recipe.height, component.down, most_down),
        }
    };
    recipe.components.iter().enumerate().map(plane).collect()
}

fn most(recipe: &Recipe) -> (u8, u8) {
    let most = |factor: fn(&Component) -> u8| recipe.components.iter().map(factor).max().unwrap_or(1);
    (most(|component| component.across), most(|component| component.down))
}

/// A code for each symbol.
struct Codes {
    /// Number of codes of 1 to 16 bits.
    lengths: [u8; 16],
    symbols: Vec<u8>,
    /// By symbol: code and bits.
    codes: Vec<(u32, u32)>,
}

impl Codes {
    /// For the symbols below a number. No code is all ones, as the standard wants it.
    fn new(symbols: usize, long: bool, table: u8) -> Self {
        let mut lengths = [0; 16];
        match (symbols, long) {
            (..=15, _) => lengths[3] = symbols as u8,
            (_, false) => (lengths[7], lengths[8]) = (254, 2),
            (_, true) => {
                lengths[1..8].fill(1);
                lengths[15] = symbols.saturating_sub(7) as u8;
            }
        }
        // Some other order for each table.
        let symbols: Vec<u8> = (0..symbols).map(|index| (index * [1, 5][usize::from(table)] % symbols) as u8).collect();
        let mut codes = vec![(0, 0); 256];
        let (mut code, mut next) = (0, symbols.iter());
        for (bits, &count) in (1..).zip(&lengths) {
            for symbol in next.by_ref().take(count.into()) {
                codes[usize::from(*symbol)] = (code, bits);
                code += 1;
            }
            code <<= 1;
        }
        Self { lengths, symbols, codes }
    }

    fn segment(&self, number: u8) -> Vec<u8> {
        [&[number][..], &self.lengths, &self.symbols].concat()
    }
}

/// Writes the data of a scan.
struct ScanWriter<'a> {
    recipe: &'a Recipe,
    scan: &'a Scan,
    planes: &'a [Plane],
    out: &'a mut Vec<u8>,
    tables: [[Codes; 2]; 2],
    /// Bits that make no byte yet, and how many.
    bits: u64,
    count: u32,
    /// By component: the last first coefficient.
    before: Vec<i32>,
    /// Blocks that have no more coefficients, not written yet, and the bits that refine them.
    ended: u32,
    refinements: Vec<u8>,
}

impl<'a> ScanWriter<'a> {
    fn new(recipe: &'a Recipe, scan: &'a Scan, planes: &'a [Plane], out: &'a mut Vec<u8>) -> Self {
        let tables = [0, 1].map(|table| [Codes::new(12, false, table), Codes::new(256, recipe.long_codes, table)]);
        let before = vec![0; planes.len()];
        Self { recipe, scan, planes, out, tables, bits: 0, count: 0, before, ended: 0, refinements: Vec::new() }
    }

    fn write(mut self) {
        let (most_across, most_down) = most(self.recipe);
        let mut places: Vec<Vec<(usize, usize)>> = Vec::new();
        if let [component] = self.scan.components[..] {
            let plane = &self.planes[component];
            for row in 0..plane.down {
                places.extend((0..plane.across).map(|column| vec![(component, row * plane.stride + column)]));
            }
        } else {
            let across = usize::from(self.recipe.width).div_ceil(8 * usize::from(most_across));
            let down = usize::from(self.recipe.height).div_ceil(8 * usize::from(most_down));
            for mcu in 0..across * down {
                let mut blocks = Vec::new();
                for &component in &self.scan.components {
                    let Component { across: h, down: v, .. } = self.recipe.components[component];
                    let (h, v) = (usize::from(h), usize::from(v));
                    for (y, x) in (0..v).flat_map(|y| (0..h).map(move |x| (y, x))) {
                        let row = mcu / across * v + y;
                        blocks.push((component, row * self.planes[component].stride + mcu % across * h + x));
                    }
                }
                places.push(blocks);
            }
        }
        for (index, mcu) in places.iter().enumerate() {
            if self.recipe.restart > 0 && index > 0 && index.is_multiple_of(usize::from(self.recipe.restart)) {
                self.end_blocks();
                self.flush();
                let number = (index / usize::from(self.recipe.restart) - 1) % 8;
                marker(self.out, self.recipe, 0xd0 + number as u8);
                self.before.fill(0);
            }
            for &(component, block) in mcu {
                let block = self.planes[component].blocks[block];
                self.block(component, &block);
            }
        }
        self.end_blocks();
        self.flush();
    }

    fn block(&mut self, component: usize, block: &Block) {
        let table = usize::from(table_of(component));
        let Scan { first, last, high, low, .. } = *self.scan;
        if !self.recipe.progressive {
            self.first_coefficient(component, table, i32::from(block[0]));
            self.coefficients(table, block, 1, 63, 0);
        } else if first == 0 && high == 0 {
            self.first_coefficient(component, table, i32::from(block[0]) >> low);
        } else if first == 0 {
            self.put((block[0] >> low & 1) as u32, 1);
        } else if high == 0 {
            self.coefficients(table, block, first, last, low);
        } else {
            self.refine(table, block, first, last, low);
        }
    }

    fn first_coefficient(&mut self, component: usize, table: usize, value: i32) {
        let difference = value - std::mem::replace(&mut self.before[component], value);
        let bits = 32 - difference.unsigned_abs().leading_zeros();
        self.symbol(table, 0, bits);
        self.number(difference, bits);
    }

    /// Runs of zeros and the value behind each. In a progressive scan, the ends of blocks are counted.
    fn coefficients(&mut self, table: usize, block: &Block, first: usize, last: usize, low: u8) {
        let mut zeros = 0;
        for &value in &block[first..=last] {
            let value = (i32::from(value).abs() >> low) * i32::from(value).signum();
            if value == 0 {
                zeros += 1;
                continue;
            }
            self.end_blocks();
            while zeros > 15 {
                self.symbol(table, 1, 0xf0);
                zeros -= 16;
            }
            let bits = 32 - value.unsigned_abs().leading_zeros();
            self.symbol(table, 1, zeros << 4 | bits);
            self.number(value, bits);
            zeros = 0;
        }
        if zeros > 0 && self.recipe.progressive {
            self.ended += 1;
            if self.ended == 0x7fff {
                self.end_blocks();
            }
        } else if zeros > 0 {
            self.symbol(table, 1, 0);
        }
    }

    /// One more bit of each coefficient.
    fn refine(&mut self, table: usize, block: &Block, first: usize, last: usize, low: u8) {
        let magnitude = |k: usize| i32::from(block[k]).abs() >> low;
        let last_new = (first..=last).rfind(|k| magnitude(*k) == 1).unwrap_or(0);
        let (mut zeros, mut refinements) = (0, Vec::new());
        for (k, &value) in block.iter().enumerate().take(last + 1).skip(first) {
            if magnitude(k) == 0 {
                zeros += 1;
                continue;
            }
            while zeros > 15 && k <= last_new {
                self.end_blocks();
                self.symbol(table, 1, 0xf0);
                zeros -= 16;
                self.put_all(&std::mem::take(&mut refinements));
            }
            if magnitude(k) > 1 {
                refinements.push((magnitude(k) & 1) as u8);
                continue;
            }
            self.end_blocks();
            self.symbol(table, 1, zeros << 4 | 1);
            self.put(u32::from(value > 0), 1);
            self.put_all(&std::mem::take(&mut refinements));
            zeros = 0;
        }
        if zeros > 0 || !refinements.is_empty() {
            self.ended += 1;
            self.refinements.extend(refinements);
            // As many as decoders keep is no limit of theirs, but encoders write runs of this length at most.
            if self.ended == 0x7fff || self.refinements.len() > 900 {
                self.end_blocks();
            }
        }
    }

    fn end_blocks(&mut self) {
        if self.ended == 0 {
            return;
        }
        let table = usize::from(table_of(self.scan.components[0]));
        let bits = 31 - self.ended.leading_zeros();
        self.symbol(table, 1, bits << 4);
        self.put(self.ended & ((1 << bits) - 1), bits);
        self.ended = 0;
        let refinements = std::mem::take(&mut self.refinements);
        self.put_all(&refinements);
    }

    fn symbol(&mut self, table: usize, kind: usize, symbol: u32) {
        let (code, bits) = self.tables[table][kind].codes[symbol as usize];
        assert!(bits > 0, "symbol {symbol} has no code");
        self.put(code, bits);
    }

    /// A value whose size in bits the symbol before told: negative ones are less by one.
    fn number(&mut self, value: i32, bits: u32) {
        let value = if value < 0 { value - 1 } else { value };
        self.put(value as u32 & ((1u32 << bits) - 1), bits);
    }

    fn put_all(&mut self, bits: &[u8]) {
        bits.iter().for_each(|bit| self.put((*bit).into(), 1));
    }

    fn put(&mut self, value: u32, bits: u32) {
        self.bits = self.bits << bits | u64::from(value);
        self.count += bits;
        while self.count >= 8 {
            self.count -= 8;
            let byte = (self.bits >> self.count) as u8;
            self.out.push(byte);
            if byte == 0xff {
                self.out.push(0);
            }
        }
        self.bits &= (1 << self.count) - 1;
    }

    fn flush(&mut self) {
        if self.count > 0 {
            let missing = 8 - self.count;
            self.put((1 << missing) - 1, missing);
        }
    }
}
