"""Writes the seccomp filters, `ARCHITECTURE.bpf` beside this file. Run it by hand when the rules change.

It needs libseccomp >= 2.5.4 and `pip install pyseccomp`. The sandbox needs neither: it only reads the bytes.

The filter is a deny list, because the programs inside are ordinary ones (node, Python, compilers, git), and namespaces,
the dropped uid and no_new_privs already prevent most harm. It refuses what they leave open, as Docker, flatpak and
systemd (RestrictSUIDSGID) do, and calls that only widen the kernel's surface.
"""

from __future__ import annotations

import errno
import stat
import struct
import tempfile
from pathlib import Path

import pyseccomp as seccomp  # type: ignore[import-not-found]  # only this script needs it

ARCHITECTURES = {"x86_64": seccomp.Arch.X86_64, "aarch64": seccomp.Arch.AARCH64}

FORBIDDEN = {
    "other processes": ("ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "kcmp", "pidfd_getfd"),
    "key rings": ("add_key", "request_key", "keyctl"),
    "kernel probes": ("bpf", "perf_event_open", "userfaultfd", "lookup_dcookie", "syslog"),
    "mounts": ("mount", "umount", "umount2", "pivot_root", "chroot", "mount_setattr"),
    "mounts by descriptor": ("move_mount", "open_tree", "fsopen", "fsconfig", "fsmount", "fspick"),
    "namespaces": ("unshare", "setns"),
    "files by handle": ("name_to_handle_at", "open_by_handle_at", "fanotify_init"),
    "storage": ("quotactl", "quotactl_fd", "acct", "swapon", "swapoff"),
    "modules": ("init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load", "reboot"),
    "clock and names": ("settimeofday", "clock_settime", "clock_adjtime", "adjtimex", "sethostname", "setdomainname"),
    "hardware": ("iopl", "ioperm", "modify_ldt", "vhangup"),
    "relics": ("stime", "nfsservctl", "_sysctl", "uselib", "ustat", "sysfs"),
}

ABSENT = ("io_uring_setup", "io_uring_enter", "io_uring_register", "clone3", "openat2")
"""Answered with ENOSYS, as by an older kernel, so that callers fall back. Their arguments are behind a pointer."""

NEWEST = 450
"""The last system call that libseccomp 2.5.4 knows, set_mempolicy_home_node. Later ones answer ENOSYS."""

CLONE_NAMESPACES = {
    "CLONE_NEWNS": 0x00020000,
    "CLONE_NEWCGROUP": 0x02000000,
    "CLONE_NEWUTS": 0x04000000,
    "CLONE_NEWIPC": 0x08000000,
    "CLONE_NEWUSER": 0x10000000,
    "CLONE_NEWPID": 0x20000000,
    "CLONE_NEWNET": 0x40000000,
}
TERMINAL_INJECTION = {"TIOCSTI": 0x5412, "TIOCLINUX": 0x541C}
AF_UNIX, AF_INET, AF_INET6, AF_NETLINK = 1, 2, 10, 16
O_CREAT = 0o100
MODES = {"chmod": 1, "fchmod": 1, "fchmodat": 2, "mknod": 1, "mknodat": 2, "creat": 1}
"""The index of the argument that is a file mode."""
OPENS = {"open": 1, "openat": 2}
"""The index of the argument that holds the open flags; the next one is the mode."""
LOW_WORD = 0xFFFFFFFF
"""The kernel reads these arguments as 32 bits. A comparison of all 64 could be evaded by setting a high bit."""


def rules(architecture: int) -> seccomp.SyscallFilter:
    """Return the filter for one architecture. Calls of another one (i386 and x32 on x86_64) kill the caller."""
    found = seccomp.SyscallFilter(seccomp.ALLOW)
    if architecture != seccomp.system_arch():
        found.add_arch(architecture)
        found.remove_arch(seccomp.system_arch())
    refused, absent = seccomp.ERRNO(errno.EPERM), seccomp.ERRNO(errno.ENOSYS)
    for name in (name for names in FORBIDDEN.values() for name in names):
        found.add_rule(refused, name)
    for name in ABSENT:
        found.add_rule(absent, name)
    for flag in CLONE_NAMESPACES.values():
        found.add_rule(refused, "clone", seccomp.Arg(0, seccomp.MASKED_EQ, flag, flag))
    for request in TERMINAL_INJECTION.values():
        found.add_rule(refused, "ioctl", seccomp.Arg(1, seccomp.MASKED_EQ, LOW_WORD, request))
    _refuse_setuid_bits(found, refused)
    _refuse_socket_families(found, seccomp.ERRNO(errno.EAFNOSUPPORT))
    return found


def _refuse_setuid_bits(found: seccomp.SyscallFilter, action: int) -> None:
    """Refuse setuid bits: a setuid file left in the workspace would run with its owner's rights outside."""
    for bit in (stat.S_ISUID, stat.S_ISGID):
        for name, mode in MODES.items():
            found.add_rule(action, name, seccomp.Arg(mode, seccomp.MASKED_EQ, bit, bit))
        for name, flags in OPENS.items():
            creates = seccomp.Arg(flags, seccomp.MASKED_EQ, O_CREAT, O_CREAT)
            found.add_rule(action, name, creates, seccomp.Arg(flags + 1, seccomp.MASKED_EQ, bit, bit))


def _refuse_socket_families(found: seccomp.SyscallFilter, action: int) -> None:
    """Allow only unix, IPv4, IPv6 and routing netlink. A network namespace does not hold back vsock and some others."""
    found.add_rule(action, "socket", seccomp.Arg(0, seccomp.GT, AF_NETLINK))
    for family in set(range(AF_NETLINK)) - {0, AF_UNIX, AF_INET, AF_INET6}:
        found.add_rule(action, "socket", seccomp.Arg(0, seccomp.EQ, family))
    found.add_rule(action, "socket", seccomp.Arg(0, seccomp.EQ, AF_NETLINK), seccomp.Arg(2, seccomp.NE, 0))


def program(architecture: int) -> bytes:
    """Return the filter in the kernel's form: three instructions that refuse unknown calls, then libseccomp's."""
    load_number, at_least, answer = 0x20, 0x35, 0x06
    seccomp_ret_errno = 0x00050000
    prelude = (
        struct.pack("=HBBI", load_number, 0, 0, 0),
        struct.pack("=HBBI", at_least, 0, 1, NEWEST + 1),
        struct.pack("=HBBI", answer, 0, 0, seccomp_ret_errno | errno.ENOSYS),
    )
    with tempfile.TemporaryFile() as file:
        rules(architecture).export_bpf(file)
        file.seek(0)
        return b"".join(prelude) + file.read()


def main() -> None:
    """Write the filter of every architecture."""
    for name, architecture in ARCHITECTURES.items():
        path = Path(__file__).with_name(f"{name}.bpf")
        path.write_bytes(program(architecture))
        print(path.name, path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
