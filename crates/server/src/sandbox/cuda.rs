//! What CUDA needs beside what the server has on a CPU. Granted where `clip_search.device` is not `cpu` and the machine has
//! a GPU's driver; nothing of it is granted to decoders.

use protocol::Config;
use std::path::{Path, PathBuf};

/// Drivers' control devices; without one there is no GPU. The second is that of WSL.
const DRIVERS: [&str; 2] = ["/dev/nvidiactl", "/dev/dxg"];
/// Folders that are read: the toolkit, and the driver's part of Windows.
const READ: [&str; 3] = ["/usr/local/cuda", "/opt/cuda", "/usr/lib/wsl"];
/// Where the driver keeps kernels that it has compiled, below the home of the user; `CUDA_CACHE_PATH` names another place.
const CACHE: &str = ".nv";

/// Whether the server is to use a GPU if there is one.
pub(super) fn is_wanted(config: &Config) -> bool {
    config.device != "cpu" && DRIVERS.iter().any(|driver| Path::new(driver).exists())
}

/// Devices of /dev that are read, written and controlled: `nvidia0`, `nvidiactl`, `nvidia-uvm`, `nvidia-caps/…`, `dxg`.
pub(super) fn devices() -> Vec<PathBuf> {
    let entries = std::fs::read_dir("/dev").into_iter().flatten().flatten();
    let is_gpu = |name: &str| name.starts_with("nvidia") || name == "dxg";
    entries.filter(|entry| entry.file_name().to_str().is_some_and(is_gpu)).map(|entry| entry.path()).collect()
}

/// Folders that are read.
pub(super) fn read() -> Vec<PathBuf> {
    READ.map(PathBuf::from).into()
}

/// Folders and files that are written: the cache of compiled kernels, and the names of the driver's threads.
pub(super) fn write() -> Vec<PathBuf> {
    let home = std::env::var_os("HOME").map(|home| Path::new(&home).join(CACHE));
    let named = std::env::var_os("CUDA_CACHE_PATH").map(PathBuf::from);
    home.into_iter().chain(named).chain([PathBuf::from("/proc/self/task")]).collect()
}
