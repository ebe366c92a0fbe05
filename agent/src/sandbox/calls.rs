//! seccomp: which system calls can be made. What is not in the list fails as if it were not
//! permitted; what no agent does by mistake ends the process.
//!
//! Most are let through whatever their arguments, which the kernel remembers: those cost
//! nothing. The few that look at an argument are seldom made.

use super::other;
use nix::libc;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, apply_filter,
};
use std::collections::BTreeMap;
use std::env::consts::ARCH;
use std::io;

type Number = libc::c_long;

/// Let through as they are.
const FREE: &[Number] = &[
    // Clients and helpers, on sockets that there are already or that accept makes.
    libc::SYS_accept4,
    libc::SYS_recvmsg,
    libc::SYS_recvfrom,
    libc::SYS_sendmsg,
    libc::SYS_sendto,
    libc::SYS_shutdown,
    // Who the peer is, and how long a helper may take.
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
    // The loop, its waker and its signals.
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_eventfd2,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    // After SIGSTOP and SIGCONT the kernel itself calls it.
    libc::SYS_restart_syscall,
    // A change of the vault's directory.
    libc::SYS_inotify_init1,
    libc::SYS_inotify_add_watch,
    // Deadlines, on a clock that goes on while the machine sleeps.
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_settime,
    // Files, within what Landlock lets be opened.
    libc::SYS_openat,
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_close,
    // What the kernel has at hand of a client's manifest.
    libc::SYS_preadv2,
    libc::SYS_statx,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    // Backups, leftovers, stamps.
    libc::SYS_getdents64,
    libc::SYS_linkat,
    libc::SYS_ftruncate,
    libc::SYS_utimensat,
    // Writes that survive, one writer at a time.
    libc::SYS_fsync,
    libc::SYS_flock,
    // Memory, less what could be run. Nothing is moved: it would not be wiped.
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_madvise,
    // Threads. What they would do without harm if it were let (the stack for a signal, a list
    // of locks, a yield) is not.
    libc::SYS_futex,
    libc::SYS_rseq,
    libc::SYS_exit,
    libc::SYS_exit_group,
    // Clocks, where they are not read without the kernel, and waits.
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    // Nonces and keys.
    libc::SYS_getrandom,
    // Who we are. These never fail, so whoever asks would take an error for an answer.
    libc::SYS_getpid,
    libc::SYS_geteuid,
    libc::SYS_getegid,
];

/// What the C library calls by an older name here, by a newer one elsewhere: paths, and
/// the loop's wait.
#[cfg(target_arch = "x86_64")]
const NAMED: &[Number] = &[
    libc::SYS_mkdir,
    libc::SYS_unlink,
    libc::SYS_rename,
    libc::SYS_readlink,
    libc::SYS_epoll_wait,
];
#[cfg(not(target_arch = "x86_64"))]
const NAMED: &[Number] = &[
    libc::SYS_mkdirat,
    libc::SYS_unlinkat,
    libc::SYS_renameat,
    libc::SYS_readlinkat,
    libc::SYS_epoll_pwait,
];

/// What no agent does by mistake: to run something, to look into or act on another process,
/// to reach memory, files or the kernel by a way around what is watched.
const FATAL: &[Number] = &[
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_io_uring_setup,
    libc::SYS_bpf,
    libc::SYS_userfaultfd,
    libc::SYS_perf_event_open,
    libc::SYS_open_by_handle_at,
    libc::SYS_memfd_create,
    libc::SYS_kexec_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_setns,
    libc::SYS_unshare,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
];

/// Names memory, where the C library does.
const PR_SET_VMA: u64 = 0x5356_4d41;
/// The kind of a socket, without the flags beside it.
const SOCKET_KIND: u64 = 0xf;

/// Lets go of all other system calls, for good.
pub fn close() -> io::Result<()> {
    for program in [fatal()?, absent()?, allowed()?] {
        apply_filter(&program).map_err(|error| match error {
            seccompiler::Error::Prctl(error) | seccompiler::Error::Seccomp(error) => error,
            error => other(error),
        })?;
    }
    Ok(())
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

fn fatal() -> io::Result<BpfProgram> {
    let mut rules = whatever(FATAL);
    let elsewhere = when(0, SeccompCmpOp::Ne, libc::AF_UNIX as u64)?;
    rules.insert(libc::SYS_socket, vec![all([elsewhere])?]);
    program(rules, SeccompAction::KillProcess, SeccompAction::Allow)
}

/// Its flags lie in memory, where no filter looks: the C library then makes its threads by
/// clone, whose flags can be seen.
fn absent() -> io::Result<BpfProgram> {
    let errno = SeccompAction::Errno(libc::ENOSYS as u32);
    program(whatever(&[libc::SYS_clone3]), errno, SeccompAction::Allow)
}

fn allowed() -> io::Result<BpfProgram> {
    let mut rules = whatever(FREE);
    rules.extend(whatever(NAMED));
    rules.extend(whatever(&[libc::SYS_clone3]));
    for (number, choices) in watched()? {
        rules.insert(number, choices);
    }
    let errno = SeccompAction::Errno(libc::EPERM as u32);
    program(rules, SeccompAction::Allow, errno)
}

/// Let through with these arguments alone.
fn watched() -> io::Result<Vec<(Number, Vec<SeccompRule>)>> {
    let is = |at, value: u64| all([when(at, SeccompCmpOp::Eq, value)?]);
    let is_one = |at, values: &[u64]| {
        values.iter().map(|value| is(at, *value)).collect::<io::Result<Vec<_>>>()
    };
    let masked = |at, mask, value| all([when(at, SeccompCmpOp::MaskedEq(mask), value)?]);
    let exec = libc::PROT_EXEC as u64;
    let thread = libc::CLONE_THREAD as u64;
    let stream = when(1, SeccompCmpOp::MaskedEq(SOCKET_KIND), libc::SOCK_STREAM as u64)?;
    let local = when(0, SeccompCmpOp::Eq, libc::AF_UNIX as u64)?;
    let fcntls =
        [libc::F_DUPFD_CLOEXEC, libc::F_GETFD, libc::F_SETFD, libc::F_GETFL, libc::F_SETFL];
    Ok(vec![
        // No memory that could be run.
        (libc::SYS_mmap, vec![masked(2, exec, 0)?]),
        (libc::SYS_mprotect, vec![masked(2, exec, 0)?]),
        // A thread, never a process.
        (libc::SYS_clone, vec![masked(0, thread, thread)?]),
        // A helper's socket. A datagram could be sent to any other name.
        (libc::SYS_socketpair, vec![all([local, stream])?]),
        (libc::SYS_fcntl, is_one(1, &fcntls.map(|command| command as u64))?),
        // A thread's name.
        (libc::SYS_prctl, is_one(0, &[libc::PR_SET_NAME as u64, PR_SET_VMA])?),
        // abort(3) ends this process.
        (libc::SYS_tgkill, vec![is(0, std::process::id().into())?]),
    ])
}

fn whatever(numbers: &[Number]) -> Rules {
    numbers.iter().map(|number| (*number, Vec::new())).collect()
}

fn when(argument: u8, compare: SeccompCmpOp, value: u64) -> io::Result<SeccompCondition> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, compare, value).map_err(other)
}

fn all<const N: usize>(conditions: [SeccompCondition; N]) -> io::Result<SeccompRule> {
    SeccompRule::new(conditions.to_vec()).map_err(other)
}

fn program(rules: Rules, matched: SeccompAction, others: SeccompAction) -> io::Result<BpfProgram> {
    let machine = ARCH.try_into().map_err(other)?;
    let filter = SeccompFilter::new(rules, others, matched, machine).map_err(other)?;
    filter.try_into().map_err(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many system calls the agent may make.
    const CALLS_MAX: usize = 60;

    #[test]
    fn the_list_is_short_and_has_nothing_fatal() {
        let watched = watched().expect("the rules are well-formed");
        let mut calls: Vec<Number> = [FREE, NAMED].concat();
        calls.extend(watched.iter().map(|(number, _)| *number));
        let count = calls.len();
        assert!(count <= CALLS_MAX, "{count} calls");
        calls.sort_unstable();
        calls.dedup();
        assert_eq!(calls.len(), count, "each is there once");
        assert!(!calls.iter().any(|call| FATAL.contains(call) || *call == libc::SYS_socket));
    }

    #[test]
    fn the_filters_compile() {
        for program in [fatal(), absent(), allowed()] {
            assert!(program.is_ok_and(|program| program.len() < 4096));
        }
    }
}
