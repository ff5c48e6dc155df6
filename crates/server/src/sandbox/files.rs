//! Which files may be opened, by Landlock, which the kernel has since 5.13.

use super::cuda;
use crate::log_warning;
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, PathBeneath, PathFd, RestrictionStatus, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope, make_bitflags,
};
use protocol::Config;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What is restricted, where the kernel knows it: 6 is of Linux 6.12. Newer ones would have to be tried first.
const VERSION: ABI = ABI::V6;

/// Libraries and what they read. Not /usr as a whole: PostgreSQL's own default for its data is /usr/local/pgsql.
const SYSTEM: [&str; 14] = [
    "/lib",
    "/lib32",
    "/lib64",
    "/usr/lib",
    "/usr/lib32",
    "/usr/lib64",
    "/usr/local/lib",
    "/usr/local/lib64",
    "/usr/share",
    "/nix/store",
    "/etc/ld.so.cache",
    "/etc/ld.so.preload",
    "/etc/localtime",
    // Of other processes it has what everybody may see: Landlock keeps their memory, files and environment shut.
    "/proc",
];
/// What the C library and ONNX Runtime ask about the machine.
const MACHINE: [&str; 2] = ["/sys/devices/system", "/sys/fs/cgroup"];
/// What names of hosts need.
const NAMES: [&str; 10] = [
    "/etc/hosts",
    "/etc/resolv.conf",
    "/etc/nsswitch.conf",
    "/etc/host.conf",
    "/etc/gai.conf",
    "/etc/services",
    "/etc/protocols",
    "/run/systemd/resolve",
    "/run/resolvconf",
    "/run/NetworkManager",
];
/// What certificates of hosts need.
const CERTIFICATES: [&str; 9] = [
    "/etc/ssl/certs",
    "/etc/ssl/cert.pem",
    "/etc/ssl/openssl.cnf",
    "/etc/pki/tls/certs",
    "/etc/pki/tls/cert.pem",
    "/etc/pki/ca-trust/extracted",
    "/etc/ca-certificates/extracted",
    "/var/lib/ca-certificates",
    "/usr/local/share/ca-certificates",
];
/// Environment variables that name more of those.
const CERTIFICATE_VARIABLES: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];
/// Environment variables with folders of libraries, separated by colons.
const LIBRARY_VARIABLES: [&str; 1] = ["LD_LIBRARY_PATH"];
/// Devices that everybody has.
const DEVICES: [&str; 4] = ["/dev/null", "/dev/zero", "/dev/urandom", "/dev/random"];
/// So many folders deep may a model be linked from elsewhere.
const MAX_DEPTH: u32 = 3;

/// Files whose rules hold for what is there now: another one that takes their place, or that was not there, cannot be read.
#[derive(Debug, Default)]
pub struct Watched(Vec<(PathBuf, Identity)>);

type Identity = Option<(u64, u64)>;

impl Watched {
    fn new(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        Self(paths.into_iter().map(|path| (path.clone(), identity(&path))).collect())
    }

    /// The first that is not what it was.
    pub fn replaced(&self) -> Option<&Path> {
        // One that is gone may be on its way to be replaced.
        let is_another = |(path, before): &&(PathBuf, Identity)| {
            let now = identity(path);
            now.is_some() && now != *before
        };
        self.0.iter().find(is_another).map(|(path, _)| &**path)
    }
}

fn identity(path: &Path) -> Identity {
    fs::metadata(path).map(|file| (file.dev(), file.ino())).ok()
}

/// What a process may open, in the making.
struct Rules {
    ruleset: RulesetCreated,
    /// Folders and files that may be read.
    read: Vec<PathBuf>,
}

impl Rules {
    fn new(scopes: BitFlags<Scope>) -> Result<Self, RulesetError> {
        let ruleset = Ruleset::default()
            .handle_access(AccessFs::from_all(VERSION))?
            .handle_access(AccessNet::BindTcp)?
            .scope(scopes)?
            .create()?;
        Ok(Self { ruleset, read: Vec::new() })
    }

    /// Allows something with a file or with all of a folder. One that is not there is left out.
    fn allow(&mut self, path: &Path, access: BitFlags<AccessFs>) -> Result<(), RulesetError> {
        let Ok(file) = PathFd::new(path) else { return Ok(()) };
        let is_folder = fs::metadata(path).is_ok_and(|file| file.is_dir());
        let access = if is_folder { access } else { access & AccessFs::from_file(VERSION) };
        (&mut self.ruleset).add_rule(PathBeneath::new(file, access))?;
        Ok(())
    }

    fn read(&mut self, path: impl Into<PathBuf>) -> Result<(), RulesetError> {
        let path = path.into();
        self.allow(&path, make_bitflags!(AccessFs::{ReadFile | ReadDir}))?;
        self.read.push(path);
        Ok(())
    }

    fn enter(self) -> Result<RestrictionStatus, RulesetError> {
        self.ruleset.restrict_self()
    }
}

/// Leaves nothing that could be opened.
pub(super) fn allow_nothing() -> Result<(), String> {
    let ruleset = || {
        Ruleset::default()
            .handle_access(AccessFs::from_all(VERSION))?
            .handle_access(AccessNet::from_all(VERSION))?
            .scope(Scope::from_all(VERSION))?
            .create()?
            .restrict_self()
    };
    outcome(ruleset())
}

/// Leaves what the server needs.
pub(super) fn allow_server(config: &Config) -> (Result<(), String>, Watched) {
    let watched = NAMES.iter().map(PathBuf::from).chain(config.model_roots.iter().cloned());
    let watched = Watched::new(watched);
    (outcome(enter(config)), watched)
}

fn enter(config: &Config) -> Result<RestrictionStatus, RulesetError> {
    let gpu = cuda::is_wanted(config);
    // CUDA's processes speak over abstract sockets.
    let mut rules = Rules::new(if gpu { Scope::Signal.into() } else { Scope::from_all(VERSION) })?;
    for path in [&SYSTEM[..], &MACHINE, &NAMES, &CERTIFICATES].concat() {
        rules.read(path)?;
    }
    let folders = LIBRARY_VARIABLES.iter().chain(&CERTIFICATE_VARIABLES).filter_map(std::env::var_os);
    for path in folders.flat_map(|list| std::env::split_paths(&list).collect::<Vec<_>>()) {
        if path.is_absolute() {
            rules.read(path)?;
        }
    }
    let library = fs::canonicalize(&config.onnxruntime_library).unwrap_or_default();
    for library in [&library, &config.onnxruntime_library] {
        if let Some(folder) = library.parent().filter(|folder| folder.is_absolute()) {
            rules.read(folder)?;
        }
    }
    for root in &config.model_roots {
        rules.read(root)?;
        linked(root, MAX_DEPTH).into_iter().try_for_each(|path| rules.read(path))?;
    }
    for device in DEVICES {
        rules.allow(device.as_ref(), make_bitflags!(AccessFs::{ReadFile | WriteFile}))?;
    }
    // Decoders are this program, and need its loader.
    for program in [Some(PathBuf::from("/proc/self/exe")), loader()].into_iter().flatten() {
        rules.allow(&program, make_bitflags!(AccessFs::{ReadFile | Execute}))?;
    }
    if gpu {
        for device in cuda::devices() {
            rules.allow(&device, make_bitflags!(AccessFs::{ReadFile | ReadDir | WriteFile | IoctlDev}))?;
        }
        // A GPU's driver asks much of what /sys says about buses and devices.
        rules.read("/sys")?;
        cuda::read().into_iter().try_for_each(|path| rules.read(path))?;
        for folder in cuda::write() {
            rules.allow(&folder, AccessFs::from_read(VERSION) | AccessFs::from_write(VERSION))?;
        }
    }
    let data = std::env::current_dir().and_then(fs::canonicalize).unwrap_or_default();
    let around = rules.read.iter().find(|path| fs::canonicalize(path).is_ok_and(|path| data.starts_with(path)));
    if let Some(around) = around {
        log_warning!("the data directory is below \"{}\", which the server may read", around.display());
    }
    rules.enter()
}

/// Where files and folders of models lie that are links to another place.
fn linked(folder: &Path, depth: u32) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_symlink() {
            let Ok(target) = fs::canonicalize(entry.path()) else { continue };
            if depth > 0 && target.is_dir() {
                found.extend(linked(&target, depth - 1));
            }
            found.push(target);
        } else if kind.is_dir() && depth > 0 {
            found.extend(linked(&entry.path(), depth - 1));
        }
    }
    found
}

/// The dynamic loader of this program: the file that is mapped where the kernel says that it put it.
fn loader() -> Option<PathBuf> {
    // SAFETY: asks for a number.
    let base = unsafe { libc::getauxval(libc::AT_BASE) };
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    let line = maps.lines().find(|line| line.starts_with(&format!("{base:x}-")))?;
    line.split_ascii_whitespace().nth(5).map(PathBuf::from)
}

fn outcome(entered: Result<RestrictionStatus, RulesetError>) -> Result<(), String> {
    match entered {
        Ok(status) if status.ruleset == RulesetStatus::NotEnforced => {
            Err("this kernel has no Landlock (Linux 5.13 and later, where it is enabled): all files of the user can be opened".to_owned())
        }
        Ok(_) => Ok(()),
        Err(error) => Err(format!("Landlock: {error}")),
    }
}
