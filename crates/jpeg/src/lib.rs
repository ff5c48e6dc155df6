//! JPEG decoding by libjpeg-turbo 3, with the calls and settings of Pillow: accurate integer DCT, interpolated chroma,
//! smoothing of blocks of which scans are missing. Equal settings make equal pixels.
//!
//! ```text
//! decoder.c   libjpeg's calls; its errors, which are long jumps, end there
//! lib.rs      the safe side: one decoder, one image
//! ```
// libjpeg is C.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_int, c_long};
use std::marker::PhantomData;
use std::ptr::NonNull;

// Links the library whose functions decoder.c calls.
use turbojpeg_sys as _;

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an image cannot be decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes end before the image does.
    #[error("truncated")]
    Truncated,
    /// What libjpeg says is wrong with the bytes.
    #[error("{0}")]
    Corrupt(String),
    /// What libjpeg says it cannot do.
    #[error("{0}")]
    Unsupported(String),
    /// Decoding would take more than [`Limits::max_memory`].
    #[error("decoding takes too much memory")]
    TooMuchMemory,
    /// There are more scans than [`Limits::max_scans`].
    #[error("more than {0} scans")]
    TooManyScans(u32),
}

/// Bounds on decoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes that libjpeg may take, for the coefficients of a whole image where it has several scans.
    pub max_memory: u64,
    /// Most scans: each goes over the whole image, however few bytes it has.
    pub max_scans: u32,
}

/// What the header says of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Components: 1 to 4.
    pub components: u32,
    /// Bits of a sample.
    pub precision: u32,
}

/// What pixels are to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// One component becomes gray, three RGB, four CMYK.
    Colours,
    /// Components as they are stored.
    Components,
    /// RGB, where the three components are known to be YCbCr, whatever markers say.
    RgbOfYcbcr,
}

#[repr(C)]
struct RawDecoder {
    _opaque: [u8; 0],
}

/// The statuses of decoder.c.
const DONE: c_int = 0;
const TRUNCATED: c_int = 1;
const UNSUPPORTED: c_int = 3;
const TOO_MUCH_MEMORY: c_int = 4;
const TOO_MANY_SCANS: c_int = 5;

/// `JMSG_LENGTH_MAX`.
const MESSAGE: usize = 200;

unsafe extern "C" {
    fn clip_search_jpeg_new(pads: c_int) -> *mut RawDecoder;
    fn clip_search_jpeg_free(decoder: *mut RawDecoder);
    fn clip_search_jpeg_message(decoder: *mut RawDecoder, message: *mut c_char);
    fn clip_search_jpeg_tables(decoder: *mut RawDecoder, bytes: *const u8, length: usize) -> c_int;
    fn clip_search_jpeg_header(
        decoder: *mut RawDecoder,
        bytes: *const u8,
        length: usize,
        header: *mut [u32; 4],
    ) -> c_int;
    fn clip_search_jpeg_scale(decoder: *mut RawDecoder, denominator: c_int, size: *mut [u32; 2]) -> c_int;
    fn clip_search_jpeg_decode(
        decoder: *mut RawDecoder,
        output: c_int,
        max_scans: c_int,
        max_memory: c_long,
        pixels: *mut u8,
        padded: *mut c_int,
    ) -> c_int;
}

/// An image whose header is read.
pub struct Decoder<'a> {
    raw: Raw,
    header: Header,
    /// Width and height of what is decoded.
    size: [u32; 2],
    /// libjpeg reads on from where the header ended.
    bytes: PhantomData<&'a [u8]>,
}

impl<'a> Decoder<'a> {
    /// Reads the header of an image. `tables` are those of a TIFF file, where it has them apart from the image. With
    /// `pads`, what there is of a truncated image is decoded: what is missing is gray, or less sharp where other scans
    /// have it.
    ///
    /// # Errors
    /// All of [`Error`] but [`Error::TooManyScans`].
    pub fn new(tables: Option<&[u8]>, bytes: &'a [u8], pads: bool) -> Result<Self> {
        let raw = Raw::new(pads)?;
        if let Some(tables) = tables {
            // SAFETY: `raw` is live, and the C side reads no further than the length, during the call alone: `header`
            // below gives it another source.
            raw.check(unsafe { clip_search_jpeg_tables(raw.0.as_ptr(), tables.as_ptr(), tables.len()) })?;
        }
        let mut header = [0; 4];
        // SAFETY: `raw` is live; `bytes` outlive it, which the lifetime of this type states; `header` has four numbers.
        raw.check(unsafe { clip_search_jpeg_header(raw.0.as_ptr(), bytes.as_ptr(), bytes.len(), &raw mut header) })?;
        let [width, height, components, precision] = header;
        let header = Header { width, height, components, precision };
        Ok(Self { raw, header, size: [width, height], bytes: PhantomData })
    }

    /// What the header says. Nothing as large as the image was allocated yet.
    pub fn header(&self) -> Header {
        self.header
    }

    /// Has the image decoded in a half, a quarter or an eighth of its width and height, rounded up: in the smallest of
    /// these that has at least so many pixels each way, or else in full. Each block of 8 x 8 pixels then becomes 4 x 4, 2 x 2
    /// or 1, by an inverse DCT of this size, which takes less time.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::Unsupported`], [`Error::TooMuchMemory`], from libjpeg.
    pub fn scale_down_to(&mut self, width: u64, height: u64) -> Result<()> {
        let Header { width: full_width, height: full_height, .. } = self.header;
        let is_enough = |denominator: &u32| {
            u64::from(full_width / denominator) >= width && u64::from(full_height / denominator) >= height
        };
        let denominator = [8, 4, 2].into_iter().find(is_enough).unwrap_or(1);
        let mut size = [0; 2];
        // SAFETY: the decoder is live, and `size` has two numbers.
        self.raw.check(unsafe { clip_search_jpeg_scale(self.raw.0.as_ptr(), denominator as c_int, &raw mut size) })?;
        self.size = size;
        Ok(())
    }

    /// Width and height of what [`Decoder::decode`] makes: the header's, unless it is scaled down.
    pub fn size(&self) -> (u32, u32) {
        (self.size[0], self.size[1])
    }

    /// The pixels, row by row from the top left, a byte for each component; and whether something was missing, which
    /// `pads` allows.
    ///
    /// # Errors
    /// All of [`Error`]; [`Error::Unsupported`] for samples that have not 8 bits, and for two components as colours.
    pub fn decode(self, output: Output, limits: Limits) -> Result<(Vec<u8>, bool)> {
        let Header { components, precision, .. } = self.header;
        let [width, height] = self.size;
        if precision != 8 {
            return Err(Error::Unsupported(format!("its samples have {precision} bits")));
        }
        let is_known = match output {
            Output::Colours => matches!(components, 1 | 3 | 4),
            Output::Components => true,
            Output::RgbOfYcbcr => components == 3,
        };
        if !is_known {
            return Err(Error::Unsupported(format!("it has {components} components")));
        }
        let max_scans = limits.max_scans.try_into().unwrap_or(c_int::MAX);
        // Zero would mean no limit.
        let max_memory = c_long::try_from(limits.max_memory).unwrap_or(c_long::MAX).max(1);
        let kind = match output {
            Output::Colours => 0,
            Output::Components => 1,
            Output::RgbOfYcbcr => 2,
        };
        let mut pixels = vec![0; width as usize * height as usize * components as usize];
        let mut padded = 0;
        // SAFETY: the decoder is live and its bytes too. It writes height rows of width * components bytes, which is
        // what `pixels` has: the output has as many components as the image, and `size` is libjpeg's output size.
        let status = unsafe {
            let pixels = pixels.as_mut_ptr();
            clip_search_jpeg_decode(self.raw.0.as_ptr(), kind, max_scans, max_memory, pixels, &raw mut padded)
        };
        match status {
            TOO_MANY_SCANS => Err(Error::TooManyScans(limits.max_scans)),
            status => self.raw.check(status).map(|()| (pixels, padded != 0)),
        }
    }
}

/// Owns what decoder.c made.
struct Raw(NonNull<RawDecoder>);

impl Raw {
    fn new(pads: bool) -> Result<Self> {
        // SAFETY: a plain number; what comes back is null or a decoder that only `drop` frees.
        let decoder = unsafe { clip_search_jpeg_new(pads.into()) };
        NonNull::new(decoder).map(Self).ok_or(Error::TooMuchMemory)
    }

    fn check(&self, status: c_int) -> Result<()> {
        match status {
            DONE => Ok(()),
            TRUNCATED => Err(Error::Truncated),
            UNSUPPORTED => Err(Error::Unsupported(self.message())),
            TOO_MUCH_MEMORY => Err(Error::TooMuchMemory),
            _ => Err(Error::Corrupt(self.message())),
        }
    }

    fn message(&self) -> String {
        let mut message = [0 as c_char; MESSAGE];
        // SAFETY: the decoder is live, and the C side writes at most MESSAGE characters with a NUL at the end.
        let message = unsafe {
            clip_search_jpeg_message(self.0.as_ptr(), message.as_mut_ptr());
            CStr::from_ptr(message.as_ptr())
        };
        message.to_string_lossy().into_owned()
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // SAFETY: `new` made it, and nothing else frees it.
        unsafe { clip_search_jpeg_free(self.0.as_ptr()) }
    }
}
