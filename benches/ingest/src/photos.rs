//! Tables of images, no two of them equal: the server embeds equal ones that wait at the same time once.

use measure::{Image, with_mark};
use postgres::Client;
use std::cell::Cell;

/// As a thumbnail that a shop or an archive keeps.
pub const THUMBNAILS: Kind = (THUMBNAIL, Image::jpeg);
/// As ImageNet's.
pub const PHOTOGRAPHS: Kind = (Image::PHOTOGRAPH, Image::photograph);
const THUMBNAIL: Image = Image { width: 256, height: 256 };
/// Images that are encoded; those of tables are these, each with other bytes at its end.
const POOL: u32 = 256;
/// Images of the large table; more than a session remembers, so that it is asked for all of its rows.
const HEAVY: u32 = 300;
/// Bytes of each: a camera's file, most of which is not the image.
pub const HEAVY_BYTES: usize = 4 << 20;

/// A size, and how an image of a number becomes a file.
pub type Kind = (Image, fn(Image, u32) -> anyhow::Result<Vec<u8>>);

/// Where they come from.
pub struct Photos {
    size: Image,
    pool: Vec<Vec<u8>>,
    /// The next mark that no image has.
    mark: Cell<u64>,
}

impl Photos {
    /// Encodes the images.
    ///
    /// # Errors
    /// What the encoder says.
    pub fn new((size, encode): Kind) -> anyhow::Result<Self> {
        let pool = (0..POOL).map(|number| encode(size, number)).collect::<Result<_, _>>()?;
        Ok(Self { size, pool, mark: Cell::new(0) })
    }

    /// What they are.
    pub fn description(&self) -> String {
        let bytes: usize = self.pool.iter().map(Vec::len).sum();
        format!(
            "JPEG files of {} x {}, {:.1} kB on average, no two of them equal",
            self.size.width,
            self.size.height,
            bytes as f64 / self.pool.len() as f64 / 1e3
        )
    }

    /// The first of so many marks.
    fn marks(&self, count: u32) -> u64 {
        self.mark.replace(self.mark.get() + u64::from(count))
    }

    /// Images, for a client without a table.
    pub fn list(&self, count: u32) -> Vec<Vec<u8>> {
        let numbered = self.pool.iter().cycle().zip(self.marks(count)..);
        numbered.take(count as usize).map(|(jpeg, mark)| with_mark(jpeg, mark)).collect()
    }

    /// An image.
    pub fn one(&self) -> Vec<u8> {
        self.list(1).remove(0)
    }

    /// Makes the table that others are made from.
    ///
    /// # Errors
    /// What PostgreSQL says.
    pub fn store(&self, client: &mut Client) -> anyhow::Result<()> {
        store(client, "pool", self.pool.iter().map(Vec::as_slice))
    }

    /// Makes the table `photos` of so many rows without embeddings, and an empty one for embeddings, `embedded`.
    ///
    /// # Errors
    /// What PostgreSQL says.
    pub fn make_table(&self, client: &mut Client, rows: u32, dimension: i32) -> anyhow::Result<()> {
        let image = format!("image || int8send({} + i) FROM pool", self.marks(rows));
        make(client, "", rows, dimension, &image, POOL)
    }

    /// Makes the table that large ones are made from.
    ///
    /// # Errors
    /// What PostgreSQL says.
    pub fn store_heavy(&self, client: &mut Client) -> anyhow::Result<()> {
        let all = (0..HEAVY).map(|_| heavy(&self.one(), HEAVY_BYTES));
        store(client, "heavy", all)
    }
}

/// Makes the same tables of so many large images, which repeat; both are unlogged.
///
/// # Errors
/// What PostgreSQL says.
pub fn make_large_table(client: &mut Client, rows: u32, dimension: i32) -> anyhow::Result<()> {
    make(client, "UNLOGGED", rows, dimension, "image FROM heavy", HEAVY)
}

/// Makes a table of numbered images.
fn store(client: &mut Client, table: &str, images: impl Iterator<Item: AsRef<[u8]>>) -> anyhow::Result<()> {
    let mut transaction = client.transaction()?;
    transaction.batch_execute(&format!(
        "DROP TABLE IF EXISTS {table}; CREATE TABLE {table} (number integer PRIMARY KEY, image bytea NOT NULL)"
    ))?;
    let insert = transaction.prepare(&format!("INSERT INTO {table} VALUES ($1, $2)"))?;
    for (number, image) in (0_i32..).zip(images) {
        transaction.execute(&insert, &[&number, &image.as_ref()])?;
    }
    transaction.commit()?;
    Ok(())
}

/// `image` is a select list and the table that it is from, which has `pool` images.
fn make(client: &mut Client, kind: &str, rows: u32, dimension: i32, image: &str, pool: u32) -> anyhow::Result<()> {
    client.batch_execute(&format!(
        "DROP TABLE IF EXISTS photos, embedded;
         CREATE {kind} TABLE photos (id bigint PRIMARY KEY, image bytea NOT NULL, embedding vector({dimension}));
         CREATE {kind} TABLE embedded (id bigint, embedding vector({dimension}));
         INSERT INTO photos SELECT i, {image}, generate_series(number, {rows} - 1, {pool}) AS i;
         ANALYZE photos"
    ))?;
    Ok(())
}

/// A JPEG file with so many bytes of comments before the image. They are zeros, so that a table of many gigabytes takes
/// little of the disk: PostgreSQL compresses what is not sent anywhere else.
fn heavy(jpeg: &[u8], bytes: usize) -> Vec<u8> {
    /// Of one comment, its own length included.
    const MOST: usize = 0xFFFF;
    let (start, rest) = jpeg.split_at(2);
    let mut heavy = Vec::with_capacity(bytes + MOST);
    heavy.extend_from_slice(start);
    while heavy.len() + rest.len() < bytes {
        heavy.extend_from_slice(&[0xFF, 0xFE, 0xFF, 0xFF]);
        heavy.resize(heavy.len() + MOST - 2, 0);
    }
    heavy.extend_from_slice(rest);
    heavy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_make_an_image_larger_and_no_other() {
        let jpeg = THUMBNAIL.jpeg(1).unwrap();
        let large = heavy(&jpeg, 1 << 20);
        assert!((1 << 20..(1 << 20) + 0x10000).contains(&large.len()));
        let limits = clip::Limits { max_bytes: 1 << 30, max_pixels: 1 << 30 };
        let shown = |bytes: &[u8]| clip::decode(bytes, &limits, clip::Reading::default()).unwrap();
        assert_eq!(shown(&large), shown(&jpeg));
    }

    #[test]
    fn no_two_images_are_equal() {
        let pool = vec![THUMBNAIL.jpeg(0).unwrap(), THUMBNAIL.jpeg(1).unwrap()];
        let photos = Photos { size: THUMBNAIL, pool, mark: Cell::new(0) };
        let all: std::collections::HashSet<_> = photos.list(20).into_iter().chain(photos.list(20)).collect();
        assert_eq!(all.len(), 40);
    }
}
