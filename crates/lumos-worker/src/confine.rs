//! Takes the rights of this process away: files outside one tree, the network, other processes, and resources.
//!
//! Each layer is put on if the kernel has it, and the list of layers that took effect is given back: native scanners
//! run with whatever there is and the evidence names it (DESIGN 9). Not here: undoing it; nothing can.

use std::path::Path;

/// The resources a worker may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resources {
    /// Address space, in bytes.
    pub memory_bytes: u64,
    /// Processor time, in seconds.
    pub cpu_seconds: u64,
    /// Open files.
    pub files: u64,
}

impl Resources {
    /// What the native scanners need, within `cpu_seconds`.
    #[must_use]
    pub const fn of_scanner(cpu_seconds: u64) -> Self {
        Self {
            memory_bytes: 1 << 30,
            cpu_seconds,
            files: 64,
        }
    }
}

/// Confines this process for good: afterwards it may read below `tree` and compute. Gives the names of the layers that
/// took effect, of `rlimits`, `landlock` (or `landlock-partial` on an older kernel) and `seccomp`.
#[must_use]
pub fn confine(tree: &Path, resources: Resources) -> Vec<String> {
    let layers = [
        ("rlimits", limit(resources)),
        ("landlock", false),
        ("landlock-partial", false),
        ("seccomp", false),
    ];
    #[cfg(target_os = "linux")]
    let layers = {
        let [rlimits, landlock, partial, seccomp] = layers;
        let enforced = linux::landlock(tree);
        [
            rlimits,
            (landlock.0, enforced == Some(linux::Enforced::Fully)),
            (partial.0, enforced == Some(linux::Enforced::Partly)),
            // Last, because the calls that put the other layers on are among those it denies.
            (seccomp.0, linux::seccomp()),
        ]
    };
    #[cfg(not(target_os = "linux"))]
    let _ = tree;
    layers
        .into_iter()
        .filter(|(_, effective)| *effective)
        .map(|(name, _)| name.to_owned())
        .collect()
}

fn limit(resources: Resources) -> bool {
    use rustix::process::{Resource, Rlimit, setrlimit};

    let limits = [
        (Resource::As, resources.memory_bytes),
        (Resource::Cpu, resources.cpu_seconds),
        (Resource::Nofile, resources.files),
        (Resource::Fsize, 0),
        (Resource::Core, 0),
    ];
    // All of them are tried, whatever becomes of one.
    limits.into_iter().fold(true, |all, (resource, most)| {
        setrlimit(
            resource,
            Rlimit {
                current: Some(most),
                maximum: Some(most),
            },
        )
        .is_ok()
            && all
    })
}

#[cfg(target_os = "linux")]
mod linux {
    use std::{collections::BTreeMap, path::Path};

    use landlock::{
        ABI, Access, AccessFs, AccessNet, PathBeneath, PathFd, Ruleset, RulesetAttr,
        RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
    };
    use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, SeccompRule, TargetArch};

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(super) enum Enforced {
        Fully,
        Partly,
    }

    /// Reading below `tree`; no other file, no TCP, no abstract socket, no signal to outside.
    pub(super) fn landlock(tree: &Path) -> Option<Enforced> {
        match restrict(tree).ok()? {
            RulesetStatus::FullyEnforced => Some(Enforced::Fully),
            RulesetStatus::PartiallyEnforced => Some(Enforced::Partly),
            RulesetStatus::NotEnforced => None,
        }
    }

    fn restrict(tree: &Path) -> Result<RulesetStatus, RulesetError> {
        let abi = ABI::V6;
        let ruleset = Ruleset::default()
            .handle_access(AccessFs::from_all(abi))?
            .handle_access(AccessNet::from_all(abi))?
            .scope(Scope::from_all(abi))?
            .create()?;
        let access = if tree.is_dir() {
            AccessFs::ReadFile | AccessFs::ReadDir
        } else {
            AccessFs::ReadFile.into()
        };
        // A tree that cannot be opened gets no rule: everything is denied, and the walk names the cause.
        let ruleset = match PathFd::new(tree) {
            Ok(fd) => ruleset.add_rule(PathBeneath::new(fd, access))?,
            Err(_) => ruleset,
        };
        Ok(ruleset.restrict_self()?.ruleset)
    }

    /// Only the system calls that reading files and computing need; every other one fails with `EPERM`. An allow list,
    /// because a deny list forgets: new calls, other call tables (x32), `clone3`.
    pub(super) fn seccomp() -> bool {
        filter().is_some_and(|filter| seccompiler::apply_filter(&filter).is_ok())
    }

    fn filter() -> Option<BpfProgram> {
        let arch = TargetArch::try_from(std::env::consts::ARCH).ok()?;
        let rules: BTreeMap<i64, Vec<SeccompRule>> =
            ALLOWED.iter().map(|call| (*call, Vec::new())).collect();
        let permission_denied = SeccompAction::Errno(u32::try_from(libc::EPERM).ok()?);
        let filter =
            SeccompFilter::new(rules, permission_denied, SeccompAction::Allow, arch).ok()?;
        filter.try_into().ok()
    }

    const ALLOWED: &[i64] = &[
        // files: open (landlock says which), read, list, look at
        libc::SYS_openat,
        libc::SYS_read,
        libc::SYS_readv,
        libc::SYS_pread64,
        libc::SYS_lseek,
        libc::SYS_close,
        libc::SYS_fstat,
        libc::SYS_newfstatat,
        libc::SYS_statx,
        libc::SYS_getdents64,
        libc::SYS_readlinkat,
        libc::SYS_fcntl,
        libc::SYS_getcwd,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_open,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_stat,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_lstat,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_readlink,
        // the pipe to the parent
        libc::SYS_write,
        libc::SYS_writev,
        // memory
        libc::SYS_brk,
        libc::SYS_mmap,
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_mprotect,
        libc::SYS_madvise,
        // the runtime: locks, signals of its own, hash seeds, the end
        libc::SYS_futex,
        libc::SYS_sched_yield,
        libc::SYS_sched_getaffinity,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_sigaltstack,
        libc::SYS_getrandom,
        libc::SYS_clock_gettime,
        libc::SYS_gettid,
        libc::SYS_getpid,
        libc::SYS_restart_syscall,
        libc::SYS_exit,
        libc::SYS_exit_group,
    ];
}
