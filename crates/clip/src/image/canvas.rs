//! What the frames of an animation are laid on.

use image::{Rgba, RgbaImage};

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
        let stride = canvas.width() as usize * 4;
        let left = self.left.min(canvas.width()) as usize * 4;
        let right = (self.left + self.width).min(canvas.width()) as usize * 4;
        let rows = canvas.chunks_exact_mut(stride.max(1)).skip(self.top as usize).take(self.height as usize);
        rows.map(move |row| &mut row[left..right])
    }
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
        let stride = canvas.width() as usize * 4;
        let left = area.left.min(canvas.width()) as usize * 4;
        let right = (area.left + area.width).min(canvas.width()) as usize * 4;
        let rows = canvas.chunks_exact(stride.max(1)).skip(area.top as usize).take(area.height as usize);
        Self::Restore(area, rows.flat_map(|row| &row[left..right]).copied().collect())
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
