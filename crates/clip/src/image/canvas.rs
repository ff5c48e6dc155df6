//! What the frames of an animation are laid on.

use image::{DynamicImage, Rgba, RgbaImage};
use std::ops::Range;

/// Part of a canvas. It may go beyond the edge.
#[derive(Debug, Clone, Copy)]
pub(super) struct Area {
    pub left: u32,
    pub top: u32,
    pub width: u32,
    pub height: u32,
}

impl Area {
    pub(super) fn contains(self, x: u32, y: u32) -> bool {
        (self.left..self.left + self.width).contains(&x) && (self.top..self.top + self.height).contains(&y)
    }

    fn rows(self, canvas: &mut RgbaImage) -> impl Iterator<Item = &mut [u8]> {
        let (stride, bytes) = self.bytes_of_row(canvas);
        let rows = canvas.chunks_exact_mut(stride).skip(self.top as usize).take(self.height as usize);
        rows.map(move |row| &mut row[bytes.clone()])
    }

    /// The length of the canvas' rows, and the part of each that is the area's.
    fn bytes_of_row(self, canvas: &RgbaImage) -> (usize, Range<usize>) {
        let start = |column: u32| column.min(canvas.width()) as usize * 4;
        (start(canvas.width()).max(1), start(self.left)..start(self.left + self.width))
    }
}

/// A canvas as people see it: without an alpha channel where the file has no transparent parts.
pub(super) fn shown(canvas: RgbaImage, has_alpha: bool) -> DynamicImage {
    let canvas = DynamicImage::from(canvas);
    if has_alpha { canvas } else { canvas.into_rgb8().into() }
}

/// What a frame leaves behind, to be done before the next.
#[derive(Debug, Default)]
pub(super) enum Undo {
    /// It stays.
    #[default]
    Nothing,
    /// A colour is laid over it.
    Fill(Area, Rgba<u8>),
    /// What was there before comes back: the pixels of the part that is on the canvas, row by row.
    Restore(Area, Vec<u8>),
}

impl Undo {
    /// Remembers a part as it is now.
    pub(super) fn restore(canvas: &RgbaImage, area: Area) -> Self {
        let (stride, bytes) = area.bytes_of_row(canvas);
        let rows = canvas.chunks_exact(stride).skip(area.top as usize).take(area.height as usize);
        Self::Restore(area, rows.flat_map(|row| &row[bytes.clone()]).copied().collect())
    }

    pub(super) fn apply(self, canvas: &mut RgbaImage) {
        match self {
            Self::Nothing => {}
            Self::Fill(area, colour) => {
                for row in area.rows(canvas) {
                    row.chunks_exact_mut(4).for_each(|pixel| pixel.copy_from_slice(&colour.0));
                }
            }
            Self::Restore(area, pixels) => {
                let mut rest = &pixels[..];
                for row in area.rows(canvas) {
                    let (these, later) = rest.split_at(row.len());
                    row.copy_from_slice(these);
                    rest = later;
                }
            }
        }
    }
}
