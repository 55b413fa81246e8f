"""The system calls that a box may make, and what the others answer.

Only what is named here is allowed. The list is the one that claude, opencode, codex, pi, node, Python, NumPy, PyBullet,
git and shells were seen to use, and calls of the same kind without further reach, as in Docker's default profile.
`generate.py` turns it into the filters.
"""

from __future__ import annotations

import errno
import stat

from msgspec import Struct

ALLOW, ERRNO = 0x7FFF0000, 0x00050000

ALLOWED = {
    "file contents": (
        *("read", "pread64", "readv", "preadv", "preadv2", "write", "pwrite64", "writev", "pwritev", "pwritev2"),
        *("lseek", "fsync", "fdatasync", "sync_file_range", "readahead", "fadvise64", "ftruncate"),
        *("truncate", "copy_file_range", "sendfile", "splice", "tee", "vmsplice", "flock"),
    ),
    "file names": (
        *("access", "faccessat", "faccessat2", "stat", "lstat", "fstat", "newfstatat", "statx", "statfs", "fstatfs"),
        *("getdents", "getdents64", "getcwd", "chdir", "fchdir", "mkdir", "mkdirat", "rmdir", "unlink", "unlinkat"),
        *("rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat", "readlink", "readlinkat"),
        *("chown", "fchown", "fchownat", "lchown", "utime", "utimes", "utimensat", "futimesat", "umask"),
        *("getxattr", "lgetxattr", "fgetxattr", "listxattr", "llistxattr", "flistxattr"),
        *("setxattr", "lsetxattr", "fsetxattr", "removexattr", "lremovexattr", "fremovexattr"),
        *("inotify_init", "inotify_init1", "inotify_add_watch", "inotify_rm_watch"),
    ),
    "descriptors": (
        *("close", "close_range", "dup", "dup2", "dup3", "pipe", "pipe2", "eventfd", "eventfd2", "signalfd"),
        *("signalfd4", "epoll_create", "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2"),
        *("poll", "ppoll", "select", "pselect6", "memfd_create"),
    ),
    "memory": (
        *("brk", "mmap", "munmap", "mremap", "mprotect", "madvise", "msync", "mincore", "membarrier"),
        *("mlock", "mlock2", "mlockall", "munlock", "munlockall", "pkey_alloc", "pkey_free", "pkey_mprotect"),
    ),
    "processes and threads": (
        *("fork", "vfork", "execve", "execveat", "exit", "exit_group", "wait4", "waitid", "set_tid_address", "rseq"),
        *("getpid", "getppid", "gettid", "getpgid", "getpgrp", "getsid", "setpgid", "setsid", "arch_prctl"),
        *("futex", "set_robust_list", "get_robust_list", "restart_syscall", "pidfd_open", "getcpu", "sched_yield"),
        *("sched_getaffinity", "sched_setaffinity", "sched_getattr", "sched_setattr", "sched_getparam"),
        *("sched_setparam", "sched_getscheduler", "sched_setscheduler", "sched_get_priority_max"),
        *("sched_get_priority_min", "sched_rr_get_interval", "getpriority", "setpriority", "ioprio_get"),
        *("ioprio_set", "getrlimit", "setrlimit", "getrusage", "times", "uname", "sysinfo"),
    ),
    "signals": (
        *("kill", "tkill", "tgkill", "pidfd_send_signal", "pause", "sigaltstack", "rt_sigaction", "rt_sigpending"),
        *("rt_sigprocmask", "rt_sigqueueinfo", "rt_sigreturn", "rt_sigsuspend", "rt_sigtimedwait"),
        *("rt_tgsigqueueinfo",),
    ),
    "users, and fewer rights": (
        *("getuid", "geteuid", "getgid", "getegid", "getresuid", "getresgid", "getgroups", "setuid", "setgid"),
        *("setreuid", "setregid", "setresuid", "setresgid", "setgroups", "setfsuid", "setfsgid", "capget", "capset"),
        *("seccomp", "landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self"),
    ),
    "time and chance": (
        *("clock_gettime", "clock_getres", "clock_nanosleep", "gettimeofday", "nanosleep", "time", "getrandom"),
        *("alarm", "getitimer", "setitimer", "timer_create", "timer_settime", "timer_gettime", "timer_getoverrun"),
        *("timer_delete", "timerfd_create", "timerfd_settime", "timerfd_gettime"),
    ),
    "sockets": (
        *("bind", "listen", "accept", "accept4", "connect", "shutdown", "getsockname", "getpeername", "getsockopt"),
        *("setsockopt", "sendto", "recvfrom", "sendmsg", "recvmsg", "sendmmsg", "recvmmsg"),
    ),
}
"""Allowed with any arguments."""

FORBIDDEN = {
    "other processes": ("ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "kcmp", "pidfd_getfd"),
    "key rings": ("add_key", "request_key", "keyctl"),
    "kernel probes": ("bpf", "perf_event_open", "userfaultfd", "lookup_dcookie", "syslog"),
    "mounts": ("mount", "umount2", "pivot_root", "chroot", "mount_setattr"),
    "mounts by descriptor": ("move_mount", "open_tree", "fsopen", "fsconfig", "fsmount", "fspick"),
    "namespaces": ("unshare", "setns"),
    "files by handle": ("name_to_handle_at", "open_by_handle_at", "fanotify_init", "fanotify_mark"),
    "storage": ("quotactl", "quotactl_fd", "acct", "swapon", "swapoff"),
    "modules": ("init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load", "reboot"),
    "clock and names": ("settimeofday", "clock_settime", "clock_adjtime", "adjtimex", "sethostname", "setdomainname"),
    "hardware": ("iopl", "ioperm", "modify_ldt", "vhangup"),
    "memory of a node": ("mbind", "set_mempolicy", "get_mempolicy", "migrate_pages", "move_pages"),
    "relics": ("nfsservctl", "_sysctl", "uselib", "ustat", "sysfs"),
}
"""Answered with EPERM. Every call that is named nowhere answers ENOSYS, as an older kernel does, so that callers fall
back: clone3, openat2, io_uring, memfd_secret, System V IPC, message queues, and all calls of later kernels."""


class Check(Struct, frozen=True):
    """What must hold for an argument: `argument & mask` is one of `values`.

    `whole` tests all 64 bits. Otherwise, as the kernel reads these arguments as 32 bits, the high ones do not count.
    """

    argument: int
    values: tuple[int, ...]
    mask: int = 0xFFFFFFFF
    whole: bool = False


class CallRule(Struct, frozen=True):
    """A call whose arguments decide.

    The first of `rules` whose checks all hold gives the answer. If there is none, `otherwise` is the answer.
    """

    rules: tuple[tuple[int, tuple[Check, ...]], ...]
    otherwise: int


_EPERM = ERRNO | errno.EPERM
_SETUID_BITS = stat.S_ISUID | stat.S_ISGID
_CREATES = 0o100 | 0o20000000
"""O_CREAT, and the bit of O_TMPFILE that is not O_DIRECTORY. Without them, the mode argument has no meaning."""
_NAMESPACES = 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET. `clone` has no flag for NEWTIME."""

_PUNCH_HOLE = 0x03
"""With FALLOC_FL_KEEP_SIZE. Other modes reserve space faster than a limit of the disk can be measured."""
_INJECTION = (0x5412, 0x541C)
"""TIOCSTI and TIOCLINUX."""
_REQUESTS = (
    *(0x5401, 0x5402, 0x5403, 0x5404, 0x5409, 0x540A, 0x540B, 0x540E, 0x540F, 0x5410, 0x5411, 0x5413, 0x5414),
    *(0x5415, 0x541B, 0x5420, 0x5421, 0x5422, 0x5429, 0x542A, 0x542B, 0x542C, 0x542D),
    *(0x80045430, 0x40045431, 0x80045438, 0x80045439, 0x80045440, 0x5441),
    *(0x5450, 0x5451, 0x5452, 0x5460),
)
"""Of terminals and descriptors: TCGETS to TCSETSF, TCSBRK, TCXONC, TCFLSH, TIOCSCTTY, TIOC[GS]PGRP, TIOCOUTQ,
TIOC[GS]WINSZ, TIOCMGET, FIONREAD, TIOCPKT, FIONBIO, TIOCNOTTY, TIOCGSID, TC[GS]ETS2 and their kin, TIOCGPTN,
TIOCSPTLCK, TIOCGPKT, TIOCGPTLCK, TIOCGEXCL, TIOCGPTPEER, FIONCLEX, FIOCLEX, FIOASYNC, FIOQSIZE."""
_FILE_REQUESTS = (0x80086601, 0x40049409, 0x4020940D)
"""FS_IOC_GETFLAGS, FICLONE and FICLONERANGE: `lsattr` and copies that share blocks."""
_INTERFACE_REQUESTS = (0x8910, 0x8912, 0x8913, 0x8915, 0x8919, 0x891B, 0x891D, 0x8921, 0x8927, 0x8933, 0x8942)
"""SIOCGIFNAME, …CONF, …FLAGS, …ADDR, …BRDADDR, …NETMASK, …METRIC, …MTU, …HWADDR, …INDEX, …TXQLEN: they only read."""

_AF_UNIX, _AF_INET, _AF_INET6 = 1, 2, 10
_PROTOCOLS = (0, 6, 17)
"""The default, TCP and UDP."""
_PRCTL = (
    *(1, 2, 3, 4, 15, 16, 21, 22, 23, 24, 29, 30, 36, 37, 38, 39, 40, 41, 42, 47, 50, 51, 52, 53, 65, 66),
    0x53564D41,
)
"""PR_[GS]ET_PDEATHSIG, …DUMPABLE, …NAME, …SECCOMP, PR_CAPBSET_READ and …DROP, …TIMERSLACK, …CHILD_SUBREAPER,
…NO_NEW_PRIVS, PR_GET_TID_ADDRESS, …THP_DISABLE, PR_CAP_AMBIENT, PR_SVE_[GS]ET_VL, …SPECULATION_CTRL, …MDWE, and
PR_SET_VMA, which names memory."""


_FCNTL = (*range(12), 15, 16, 17, 36, 37, 38, *range(1027, 1041))
"""F_DUPFD to F_GETSIG, F_[GS]ETOWN_EX, F_GETOWNER_UIDS, the locks F_OFD_…, and from F_DUPFD_QUERY on: copies, pipes,
seals and hints. F_SETLEASE, F_GETLEASE and F_NOTIFY are left out: by them, boxes would see what others do to files."""


def _without_setuid_bits(mode: int) -> CallRule:
    return CallRule(((ALLOW, (Check(mode, (0,), _SETUID_BITS),)),), _EPERM)


def _opens(flags: int) -> CallRule:
    creates_nothing = (Check(flags, (0,), _CREATES),)
    ordinary = (Check(flags + 1, (0,), _SETUID_BITS),)
    return CallRule(((ALLOW, creates_nothing), (ALLOW, ordinary)), _EPERM)


CHECKED = {
    "openat": _opens(2),
    "open": _opens(1),
    "ioctl": CallRule(
        (
            (_EPERM, (Check(1, _INJECTION),)),
            (ALLOW, (Check(1, (*_REQUESTS, *_FILE_REQUESTS, *_INTERFACE_REQUESTS)),)),
        ),
        ERRNO | errno.ENOTTY,
    ),
    "fcntl": CallRule(((ALLOW, (Check(1, _FCNTL),)),), ERRNO | errno.EINVAL),
    "fallocate": CallRule(((ALLOW, (Check(1, (_PUNCH_HOLE,)),)),), ERRNO | errno.EOPNOTSUPP),
    "prctl": CallRule(((ALLOW, (Check(0, _PRCTL),)),), ERRNO | errno.EINVAL),
    "clone": CallRule(((ALLOW, (Check(0, (0,), _NAMESPACES),)),), _EPERM),
    "prlimit64": CallRule(((ALLOW, (Check(0, (0,)),)),), _EPERM),
    "personality": CallRule(((ALLOW, (Check(0, (0, 0xFFFFFFFF)),)),), _EPERM),
    "socket": CallRule(
        (
            (ALLOW, (Check(0, (_AF_UNIX,), whole=True),)),
            (ALLOW, (Check(0, (_AF_INET, _AF_INET6), whole=True), Check(2, _PROTOCOLS))),
            (ERRNO | errno.EPROTONOSUPPORT, (Check(0, (_AF_INET, _AF_INET6), whole=True),)),
        ),
        ERRNO | errno.EAFNOSUPPORT,
    ),
    "socketpair": CallRule(((ALLOW, (Check(0, (_AF_UNIX,)),)),), ERRNO | errno.EAFNOSUPPORT),
    **{
        name: _without_setuid_bits(mode)
        for name, mode in {"chmod": 1, "fchmod": 1, "fchmodat": 2, "mknod": 1, "mknodat": 2, "creat": 1}.items()
    },
}
"""Allowed with some arguments. A setuid file left in the workspace would run with its owner's rights outside."""
