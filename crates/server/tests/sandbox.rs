//! What server and decoders cannot do any more. The sandbox holds for the thread that enters it, so each test gives one away.

#![allow(unsafe_code)]

use clip_search_server::sandbox;
use protocol::Config;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;
use std::thread;

/// Runs a test in a thread that has given up its rights.
fn sandboxed(enter: impl FnOnce() -> Result<(), String> + Send, test: impl FnOnce() + Send) {
    thread::scope(|scope| {
        let run = || {
            // A kernel without Landlock or seccomp shows it here: the tests need one that has both.
            enter().expect("a sandbox");
            test();
        };
        scope.spawn(run).join().expect("the sandbox holds");
    });
}

fn is_refused<T>(result: io::Result<T>) -> bool {
    matches!(result, Err(error) if error.kind() == ErrorKind::PermissionDenied)
}

fn refused_by_kernel(result: i64) -> bool {
    result == -1 && matches!(io::Error::last_os_error().raw_os_error(), Some(libc::EPERM | libc::EACCES))
}

fn config(model_root: &Path) -> Config {
    Config {
        model_roots: vec![model_root.to_owned()],
        onnxruntime_library: "/nonexistent/lib/libonnxruntime.so".into(),
        ..Config::default()
    }
}

#[test]
fn a_decoder_opens_nothing_connects_nowhere_and_starts_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (file, socket) = (folder.path().join("file"), folder.path().join("socket"));
    fs::write(&file, "secret").unwrap();
    let _listener = UnixListener::bind(&socket).unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = tcp.local_addr().unwrap();
    let descriptor = File::open(&file).unwrap();
    let parent = std::process::id();
    sandboxed(sandbox::enter_decoder, || {
        assert!(is_refused(File::open(&file)));
        assert!(is_refused(File::create(folder.path().join("new"))));
        assert!(is_refused(fs::read_dir("/")));
        assert!(is_refused(fs::metadata(&file)));
        assert!(is_refused(fs::remove_file(&file)));
        assert!(is_refused(UnixStream::connect(&socket)));
        assert!(is_refused(UnixStream::pair()));
        assert!(is_refused(TcpStream::connect(address)));
        assert!(is_refused(UdpSocket::bind("127.0.0.1:0")));
        assert!(is_refused(Command::new("/bin/true").status()));
        let memory = |protection| {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            // SAFETY: asks for new memory, which nobody uses.
            unsafe { libc::mmap(std::ptr::null_mut(), 4096, protection, flags, -1, 0) }
        };
        // SAFETY: plain system calls, of which none may come to anything.
        unsafe {
            assert!(refused_by_kernel(libc::kill(parent as i32, 0).into()));
            assert!(refused_by_kernel(libc::syscall(libc::SYS_ptrace, libc::PTRACE_TRACEME, 0, 0, 0)));
            assert!(refused_by_kernel(libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0)));
            assert!(refused_by_kernel(libc::syscall(libc::SYS_memfd_create, c"name".as_ptr(), 0)));
            assert!(refused_by_kernel(libc::syscall(libc::SYS_prctl, libc::PR_SET_DUMPABLE, 1, 0, 0, 0)));
            assert!(refused_by_kernel(libc::syscall(libc::SYS_prlimit64, 0, libc::RLIMIT_AS, 0, 0)));
        }
        assert_eq!(memory(libc::PROT_READ | libc::PROT_EXEC), libc::MAP_FAILED, "code that was made up");
        let page = memory(libc::PROT_READ | libc::PROT_WRITE);
        assert_ne!(page, libc::MAP_FAILED);
        // SAFETY: a page of ours.
        assert_eq!(unsafe { libc::mprotect(page, 4096, libc::PROT_READ | libc::PROT_EXEC) }, -1);
        // What a decoder does all day.
        let mut text = String::new();
        io::Read::read_to_string(&mut &descriptor, &mut text).unwrap();
        assert_eq!(text, "secret", "what was open stays open");
        assert_eq!(vec![1_u8; 64 << 20].iter().map(|byte| u64::from(*byte)).sum::<u64>(), 64 << 20);
    });
}

#[test]
fn the_server_reads_models_and_nothing_of_the_cluster() {
    let (models, data, linked) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let model = models.path().join("owner/name/config.json");
    fs::create_dir_all(model.parent().unwrap()).unwrap();
    fs::write(&model, "{}").unwrap();
    fs::write(linked.path().join("config.json"), "linked").unwrap();
    std::os::unix::fs::symlink(linked.path(), models.path().join("owner/linked")).unwrap();
    let secret = data.path().join("pg_hba.conf");
    fs::write(&secret, "secret").unwrap();
    let (tcp, socket) = (TcpListener::bind("127.0.0.1:0").unwrap(), data.path().join("socket"));
    let _listener = UnixListener::bind(&socket).unwrap();
    let address = tcp.local_addr().unwrap();
    let config = config(models.path());
    let parent = std::process::id();
    sandboxed(
        || sandbox::enter_server(&config).0,
        || {
            assert_eq!(fs::read(&model).unwrap(), b"{}");
            assert_eq!(fs::read(models.path().join("owner/linked/config.json")).unwrap(), b"linked");
            for path in ["/etc/hosts", "/proc/self/statm", "/etc/ssl/certs"] {
                assert!(
                    !Path::new(path).exists() || fs::metadata(path).unwrap().is_dir() || File::open(path).is_ok(),
                    "{path}"
                );
            }
            assert!(is_refused(File::open(&secret)));
            assert!(is_refused(fs::read_dir(data.path())));
            assert!(is_refused(File::open("/etc/passwd")));
            assert!(is_refused(File::create(&model)));
            assert!(is_refused(File::create(models.path().join("new"))));
            assert!(is_refused(fs::remove_file(&model)));
            assert!(is_refused(fs::rename(&model, models.path().join("other"))));
            assert!(is_refused(TcpListener::bind("127.0.0.1:0")));
            assert!(TcpStream::connect(address).is_ok(), "images are fetched");
            assert!(is_refused(Command::new("/bin/true").status()));
            let own = Command::new("/proc/self/exe").arg("--list").output().unwrap();
            assert!(own.status.success(), "decoders are this program: {own:?}");
            File::options().write(true).open("/dev/null").unwrap().write_all(b"x").unwrap();
            // SAFETY: plain system calls, of which none may come to anything.
            unsafe {
                assert!(refused_by_kernel(libc::syscall(libc::SYS_ptrace, libc::PTRACE_ATTACH, parent, 0, 0)));
                assert!(refused_by_kernel(libc::syscall(libc::SYS_shmget, libc::IPC_PRIVATE, 4096, 0)));
                assert!(refused_by_kernel(libc::syscall(libc::SYS_socket, libc::AF_PACKET, libc::SOCK_RAW, 0)));
                assert!(refused_by_kernel(libc::syscall(libc::SYS_prlimit64, 1, libc::RLIMIT_AS, 0, 0)));
            }
        },
    );
}

/// Signals from the sandbox reach nobody outside of it, where the kernel has that (Landlock of Linux 6.12).
#[test]
fn the_server_signals_nobody() {
    let mut other = Command::new("sleep").arg("60").spawn().unwrap();
    let (models, pid) = (tempfile::tempdir().unwrap(), other.id() as i32);
    let config = config(models.path());
    sandboxed(
        || sandbox::enter_server(&config).0,
        || {
            // SAFETY: asks whether a signal could be sent.
            let result = unsafe { libc::kill(pid, 0) };
            assert!(refused_by_kernel(result.into()) || kernel() < (6, 12));
        },
    );
    other.kill().unwrap();
    other.wait().unwrap();
}

fn kernel() -> (u32, u32) {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap(), numbers.next().unwrap())
}

#[test]
fn what_is_put_in_a_files_place_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("models");
    let (_, watched) = thread::scope(|scope| scope.spawn(|| sandbox::enter_server(&config(&root))).join().unwrap());
    assert_eq!(watched.replaced(), None);
    fs::create_dir(&root).unwrap();
    assert_eq!(watched.replaced(), Some(&*root));
}
