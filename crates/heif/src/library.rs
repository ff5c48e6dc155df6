//! The functions of libheif that are called, and owners of what they give. All of them are of version 1.3 or older, but for
//! `heif_init`, of 1.13, before which there were no plugins.

use super::{Error, Image, LIBRARY};
use libloading::Symbol;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::marker::PhantomData;
use std::ptr::{null, null_mut};

/// `heif_error`, which functions return.
#[repr(C)]
struct Outcome {
    code: c_int,
    subcode: c_int,
    /// Of the library, or of the object that the function was called with.
    message: *const c_char,
}

/// `heif_error_code`.
const OK: c_int = 0;
const UNSUPPORTED_FILE_TYPE: c_int = 3;
const UNSUPPORTED_FEATURE: c_int = 4;
/// `heif_colorspace`, `heif_chroma` and `heif_channel`.
const RGB: c_int = 1;
const INTERLEAVED_RGB: c_int = 10;
const INTERLEAVED_RGBA: c_int = 11;
const INTERLEAVED: c_int = 10;

/// `heif_context`, `heif_image_handle` and `heif_image`, of which only the address is known.
type Opaque = c_void;

macro_rules! functions {
    ($($name:ident: fn($($argument:ty),*) $(-> $result:ty)?;)*) => {
        /// The opened library.
        pub struct Library {
            $($name: unsafe extern "C" fn($($argument),*) $(-> $result)?,)*
            /// Whose functions these are.
            _library: libloading::Library,
        }

        impl Library {
            /// The functions of an open library.
            fn of(library: libloading::Library) -> Result<Self, libloading::Error> {
                // SAFETY: the types are those of heif.h, where each has been the same since the function was added.
                unsafe {
                    Ok(Self {
                        $($name: *library.get(concat!(stringify!($name), "\0").as_bytes())?,)*
                        _library: library,
                    })
                }
            }
        }
    };
}

functions! {
    heif_get_version_number: fn() -> u32;
    heif_context_alloc: fn() -> *mut Opaque;
    heif_context_free: fn(*mut Opaque);
    heif_context_read_from_memory_without_copy: fn(*mut Opaque, *const u8, usize, *const c_void) -> Outcome;
    heif_context_get_primary_image_handle: fn(*mut Opaque, *mut *mut Opaque) -> Outcome;
    heif_image_handle_release: fn(*const Opaque);
    heif_image_handle_get_width: fn(*const Opaque) -> c_int;
    heif_image_handle_get_height: fn(*const Opaque) -> c_int;
    heif_image_handle_has_alpha_channel: fn(*const Opaque) -> c_int;
    heif_decode_image: fn(*const Opaque, *mut *mut Opaque, c_int, c_int, *const c_void) -> Outcome;
    heif_image_get_width: fn(*const Opaque, c_int) -> c_int;
    heif_image_get_height: fn(*const Opaque, c_int) -> c_int;
    heif_image_get_plane_readonly: fn(*const Opaque, c_int, *mut c_int) -> *const u8;
    heif_image_release: fn(*const Opaque);
}

impl Library {
    /// Opens the system's libheif, and has it load its plugins.
    pub fn open() -> Result<Self, Error> {
        let failed = |error: libloading::Error| Error::Library(format!("libheif cannot be used: {error}"));
        // SAFETY: libheif's initialisers do nothing that another thread could notice.
        let library = unsafe { libloading::Library::new(LIBRARY) }
            .map_err(|_| Error::Library(format!("libheif ({LIBRARY}) is not installed on the database server")))?;
        // SAFETY: as in heif.h; NULL asks for the defaults.
        unsafe {
            type Init = unsafe extern "C" fn(*mut c_void) -> Outcome;
            let init: Result<Symbol<'_, Init>, _> = library.get(b"heif_init\0");
            if let Ok(init) = init {
                // A plugin that cannot be loaded is told by the first image that needs it.
                init(null_mut());
            }
        }
        Self::of(library).map_err(failed)
    }

    /// 0xHHMMLL00 for version HH.MM.LL.
    pub fn version(&self) -> u32 {
        // SAFETY: may be called at any time.
        unsafe { (self.heif_get_version_number)() }
    }
}

/// # Safety
/// What a function has just returned, while the object that it was called with lives.
unsafe fn check(outcome: &Outcome) -> Result<(), Error> {
    if outcome.code == OK {
        return Ok(());
    }
    let message = if outcome.message.is_null() {
        format!("error {}.{}", outcome.code, outcome.subcode)
    } else {
        // SAFETY: by the caller's promise, a NUL-terminated string.
        unsafe { CStr::from_ptr(outcome.message) }.to_string_lossy().into_owned()
    };
    Err(match outcome.code {
        UNSUPPORTED_FILE_TYPE | UNSUPPORTED_FEATURE => Error::Unsupported(message),
        _ => Error::Corrupt(message),
    })
}

/// A file.
pub struct Context<'a> {
    library: &'static Library,
    context: *mut Opaque,
    /// Not copied.
    bytes: PhantomData<&'a [u8]>,
}

impl<'a> Context<'a> {
    /// Reads what is in a file, and decodes nothing yet.
    pub fn read(library: &'static Library, bytes: &'a [u8]) -> Result<Self, Error> {
        // SAFETY: NULL is checked for; the bytes outlive the context.
        unsafe {
            let context = (library.heif_context_alloc)();
            if context.is_null() {
                return Err(Error::Corrupt("there is no memory for it".to_owned()));
            }
            let context = Self { library, context, bytes: PhantomData };
            let read = library.heif_context_read_from_memory_without_copy;
            check(&read(context.context, bytes.as_ptr(), bytes.len(), null()))?;
            Ok(context)
        }
    }

    /// The image that a viewer shows.
    pub fn primary_image(&self) -> Result<Handle<'_>, Error> {
        let mut handle = null_mut();
        // SAFETY: a context that was read, and room for an address.
        unsafe { check(&(self.library.heif_context_get_primary_image_handle)(self.context, &raw mut handle))? };
        Ok(Handle { library: self.library, handle, context: PhantomData })
    }
}

impl Drop for Context<'_> {
    fn drop(&mut self) {
        // SAFETY: allocated by `read`; handles borrow it.
        unsafe { (self.library.heif_context_free)(self.context) };
    }
}

/// An image of a file.
pub struct Handle<'a> {
    library: &'static Library,
    handle: *mut Opaque,
    context: PhantomData<&'a ()>,
}

impl Handle<'_> {
    /// Width and height in pixels, as the file says.
    pub fn size(&self) -> (u32, u32) {
        // SAFETY: a handle that is not released yet.
        let (width, height) = unsafe {
            let (width, height) = (self.library.heif_image_handle_get_width, self.library.heif_image_handle_get_height);
            (width(self.handle), height(self.handle))
        };
        (u32::try_from(width).unwrap_or(0), u32::try_from(height).unwrap_or(0))
    }

    /// Its pixels.
    pub fn decode(&self) -> Result<Image, Error> {
        let library = self.library;
        // SAFETY: a handle that is not released yet, and an image that is released below.
        unsafe {
            let has_alpha = (library.heif_image_handle_has_alpha_channel)(self.handle) != 0;
            let (chroma, channels) = if has_alpha { (INTERLEAVED_RGBA, 4) } else { (INTERLEAVED_RGB, 3) };
            let mut image = null_mut();
            check(&(library.heif_decode_image)(self.handle, &raw mut image, RGB, chroma, null()))?;
            let decoded = self.copy(image, channels);
            (library.heif_image_release)(image);
            decoded
        }
    }

    /// # Safety
    /// An image of interleaved samples, so many for each pixel.
    unsafe fn copy(&self, image: *const Opaque, channels: usize) -> Result<Image, Error> {
        let library = self.library;
        // SAFETY: a plane has `height` rows of `stride` bytes, of which the first `width * channels` are samples.
        unsafe {
            let width = (library.heif_image_get_width)(image, INTERLEAVED);
            let height = (library.heif_image_get_height)(image, INTERLEAVED);
            let mut stride = 0;
            let plane = (library.heif_image_get_plane_readonly)(image, INTERLEAVED, &raw mut stride);
            let (Ok(width), Ok(height), Ok(stride)) =
                (u32::try_from(width), u32::try_from(height), usize::try_from(stride))
            else {
                return Err(Error::Corrupt("it has no colours".to_owned()));
            };
            let row = width as usize * channels;
            if plane.is_null() || stride < row {
                return Err(Error::Corrupt("it has fewer samples than it says".to_owned()));
            }
            let mut samples = Vec::with_capacity(row * height as usize);
            for number in 0..height as usize {
                samples.extend_from_slice(std::slice::from_raw_parts(plane.add(number * stride), row));
            }
            Ok(Image { width, height, channels, samples })
        }
    }
}

impl Drop for Handle<'_> {
    fn drop(&mut self) {
        // SAFETY: got from its context, which still lives.
        unsafe { (self.library.heif_image_handle_release)(self.handle) };
    }
}
