//! Which system calls are left, by seccomp. One that is not fails with EPERM, as a right that is missing: killing the process
//! for it would make an error of a library's curiosity a crash.
//!
//! By the crate seccompiler: plain Rust, of the makers of Firecracker; libseccomp would be one more library of the system to
//! install and to load.

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen::Dword, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, apply_filter,
};
use std::collections::BTreeMap;

/// System calls, each with the rules of which one has to match; none means always.
type Calls = BTreeMap<i64, Vec<SeccompRule>>;
type Result<T> = std::result::Result<T, seccompiler::Error>;

/// A decoder's: its socket, memory, threads that wait for each other, the clock, and the end.
const DECODER: [i64; 26] = [
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_ppoll,
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_futex,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_clock_gettime,
    libc::SYS_gettimeofday,
    libc::SYS_getrandom,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_close,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// What the server never needs, and what gives a hold on other processes of its user or on the kernel. It is a list of what is
/// forbidden, since drivers and runtimes for devices call what they want.
const NOT_SERVER: [i64; 62] = [
    // Other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    // PostgreSQL has its shared memory and semaphores there.
    libc::SYS_shmget,
    libc::SYS_shmat,
    libc::SYS_shmctl,
    libc::SYS_semget,
    libc::SYS_semop,
    libc::SYS_semctl,
    libc::SYS_semtimedop,
    libc::SYS_msgget,
    libc::SYS_msgsnd,
    libc::SYS_msgrcv,
    libc::SYS_msgctl,
    // Files without their names, and other views of the file system.
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_setns,
    libc::SYS_unshare,
    libc::SYS_quotactl,
    // Wide interfaces of the kernel.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_personality,
    // The machine.
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_adjtimex,
    libc::SYS_clock_adjtime,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_syslog,
    libc::SYS_vhangup,
    libc::SYS_nfsservctl,
];

/// What the server may connect with: Unix sockets, and the internet; the C library asks the kernel for addresses.
const FAMILIES: [i32; 4] = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];

/// Leaves a decoder what it needs.
pub(super) fn allow_to_decoder() -> std::result::Result<(), String> {
    outcome(enter_decoder())
}

/// Takes from the server what it never needs.
pub(super) fn forbid_to_server() -> std::result::Result<(), String> {
    outcome(enter_server())
}

fn enter_decoder() -> Result<()> {
    let mut calls: Calls = DECODER.map(|call| (call, Vec::new())).into();
    #[cfg(target_arch = "x86_64")]
    calls.insert(libc::SYS_poll, Vec::new());
    // Memory that can be written is never executed.
    for call in [libc::SYS_mmap, libc::SYS_mprotect] {
        calls.insert(call, vec![when(2, SeccompCmpOp::MaskedEq(libc::PROT_EXEC as u64), 0)?]);
    }
    // A process that aborts sends the signal to itself.
    calls.insert(libc::SYS_tgkill, vec![when(0, SeccompCmpOp::Eq, std::process::id().into())?]);
    if clip::decodes_heif() {
        // The libraries of libheif start threads; the C library then goes on without clone3, whose flags a filter cannot see.
        let thread = libc::CLONE_THREAD as u64;
        calls.insert(libc::SYS_clone, vec![when(0, SeccompCmpOp::MaskedEq(thread), thread)?]);
        calls.insert(libc::SYS_clone3, Vec::new());
        let clone3 = [(libc::SYS_clone3, Vec::new())].into();
        apply(clone3, SeccompAction::Allow, SeccompAction::Errno(libc::ENOSYS as u32))?;
    }
    apply(calls, SeccompAction::Errno(libc::EPERM as u32), SeccompAction::Allow)
}

fn enter_server() -> Result<()> {
    let mut calls: Calls = NOT_SERVER.map(|call| (call, Vec::new())).into();
    #[cfg(target_arch = "x86_64")]
    for call in [libc::SYS_modify_ldt, libc::SYS_iopl, libc::SYS_ioperm] {
        calls.insert(call, Vec::new());
    }
    let other = FAMILIES.iter().map(|family| condition(0, SeccompCmpOp::Ne, *family as u64));
    calls.insert(libc::SYS_socket, vec![SeccompRule::new(other.collect::<Result<_>>()?)?]);
    // The limits of other processes.
    calls.insert(libc::SYS_prlimit64, vec![when(0, SeccompCmpOp::Ne, 0)?]);
    apply(calls, SeccompAction::Allow, SeccompAction::Errno(libc::EPERM as u32))
}

fn condition(argument: u8, operator: SeccompCmpOp, value: u64) -> Result<SeccompCondition> {
    Ok(SeccompCondition::new(argument, Dword, operator, value)?)
}

fn when(argument: u8, operator: SeccompCmpOp, value: u64) -> Result<SeccompRule> {
    Ok(SeccompRule::new(vec![condition(argument, operator, value)?])?)
}

fn apply(calls: Calls, otherwise: SeccompAction, matched: SeccompAction) -> Result<()> {
    let architecture = TargetArch::try_from(std::env::consts::ARCH)?;
    let program: BpfProgram = SeccompFilter::new(calls, otherwise, matched, architecture)?.try_into()?;
    apply_filter(&program)
}

fn outcome(entered: Result<()>) -> std::result::Result<(), String> {
    entered.map_err(|error| format!("seccomp: {error}; all system calls can be made"))
}
