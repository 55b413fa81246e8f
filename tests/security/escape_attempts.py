"""Runs inside a box, tries to escape, and prints the outcome of each attempt as a JSON object.

A blocked attempt raises `OSError`; its outcome is the name of the error (EPERM, …). The outcome of a successful attempt
is "escaped". The argument is a file with a JSON object that names the targets on the host.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import platform
import resource
import signal
import socket
import stat
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

NOTHING = {"secret": "", "readable": [""], "port": 0, "token": "", "socket": "", "shm": ""}
HOST: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text()) if __name__ == "__main__" else NOTHING
WORKSPACE = Path("/sandbox/workspace")
LIBC = ctypes.CDLL(None, use_errno=True)
X86 = platform.machine() == "x86_64"
NUMBERS = {  # system calls without a function in libc
    "bpf": 321 if X86 else 280,
    "perf_event_open": 298 if X86 else 241,
    "io_uring_setup": 425,
    "clone": 56 if X86 else 220,
    "clone3": 435,
    "keyctl": 250 if X86 else 219,
    "add_key": 248 if X86 else 217,
    "userfaultfd": 323 if X86 else 282,
    "open_tree": 428,
    "fsopen": 430,
    "fchmodat2": 452,
    "openat2": 437,
    "pidfd_getfd": 438,
    "process_vm_readv": 310 if X86 else 270,
    "kexec_load": 246 if X86 else 104,
    "memfd_secret": 447,
    "mq_open": 240 if X86 else 180,
    "mbind": 237 if X86 else 235,
}
CLONE_NEWUSER, CLONE_NEWNS, MS_REMOUNT, MS_BIND = 0x10000000, 0x00020000, 32, 4096


def checked(result: int) -> None:
    if result < 0:
        raise OSError(ctypes.get_errno(), "")


def call(name: str, *arguments: int | bytes | None) -> None:
    checked(LIBC.syscall(NUMBERS[name], *(ctypes.c_long(a) if isinstance(a, int) else a for a in arguments)))


def read(path: str) -> Callable[[], object]:
    return lambda: Path(path).open("rb").read(16)


def write(path: str) -> Callable[[], object]:
    return lambda: os.write(os.open(path, os.O_WRONLY | os.O_CREAT, 0o644), b"x")


def connect(family: int, address: Any, kind: int = socket.SOCK_STREAM) -> Callable[[], object]:
    def attempt() -> None:
        with socket.socket(family, kind) as found:
            found.settimeout(5)
            found.connect(address)

    return attempt


def make_socket(family: int, kind: int, protocol: int = 0) -> Callable[[], object]:
    return lambda: socket.socket(family, kind, protocol).close()


def opened(path: str) -> int:
    return os.open(path, os.O_RDONLY)


def symlink_out() -> None:
    link = WORKSPACE / "link"
    link.symlink_to(HOST["secret"])
    link.read_bytes()


def reopen_as_setuid() -> None:
    descriptor = os.open(WORKSPACE / "born", os.O_CREAT | os.O_WRONLY, 0o4755)
    os.close(descriptor)


def set_bit(bit: int, function: Callable[[Path, int], None]) -> Callable[[], object]:
    def attempt() -> None:
        file = WORKSPACE / "bits"
        file.touch()
        function(file, 0o755 | bit)

    return attempt


def fchmod(file: Path, mode: int) -> None:
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fchmod(descriptor, mode)
    finally:
        os.close(descriptor)


def inject(request: int) -> Callable[[], object]:
    def attempt() -> None:
        _, terminal = os.openpty()
        try:
            checked(LIBC.ioctl(terminal, ctypes.c_ulong(request), b"x"))
        finally:
            os.close(terminal)

    return attempt


def raise_limit(kind: int) -> Callable[[], object]:
    def attempt() -> None:
        hard = resource.getrlimit(kind)[1]
        try:
            resource.setrlimit(kind, (hard + 1, hard + 1))
        except ValueError:  # CPython's word for EPERM here
            raise PermissionError(errno.EPERM, "") from None

    return attempt


def limit_init() -> None:
    """Take all CPU time from PID 1, so that the kernel kills it."""
    resource.prlimit(1, resource.RLIMIT_CPU, (0, 0))


def make_anonymous_setuid_file() -> None:
    descriptor = os.open(WORKSPACE, os.O_TMPFILE | os.O_WRONLY, 0o4755)
    os.close(descriptor)


def write_memory() -> None:
    """Open the memory of a sibling process for writing."""
    with subprocess.Popen(["/bin/sleep", "9"]) as sibling:
        try:
            os.close(os.open(f"/proc/{sibling.pid}/mem", os.O_WRONLY))
        finally:
            sibling.kill()


def join_namespace() -> None:
    descriptor = os.open("/proc/self/ns/net", os.O_RDONLY)
    try:
        checked(LIBC.setns(descriptor, 0))
    finally:
        os.close(descriptor)


def real_time() -> None:
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))


def take_endpoint(address: str) -> Callable[[], object]:
    def attempt() -> None:
        with socket.socket() as rival:
            rival.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            rival.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            rival.bind((address, HOST["endpoint"]))
            rival.listen()

    return attempt


def bring_up_interface() -> None:
    request = struct.pack("16sH14s", b"lo", 0, b"")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, 0x8914, request)  # SIOCSIFFLAGS


def read_shared_memory() -> None:
    identifier = LIBC.shmget(HOST["shm_key"], 0, 0o444)
    checked(identifier)


def find_secret() -> None:
    """Look for the token in the environment and command line of every visible process."""
    for process in Path("/proc").iterdir():
        for name in ("environ", "cmdline"):
            try:
                text = (process / name).read_bytes()
            except OSError:
                continue
            if HOST["token"].encode() in text:
                return
    raise FileNotFoundError(errno.ENOENT, "")


def find_host_processes() -> None:
    found = {int(name) for name in os.listdir("/proc") if name.isdigit()}  # noqa: PTH208 - names
    if not found - {1, os.getpid(), os.getppid()}:
        raise ProcessLookupError(errno.ESRCH, "")


def find_host_mounts() -> None:
    """Look for a mount of the host that does not belong to the box."""
    own = ("/usr", "/bin", "/sbin", "/lib", "/etc/", "/proc", "/dev", "/tmp", "/sandbox")  # noqa: S108 - names
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        place = line.split()[4]
        if place != "/" and not place.startswith((*own, *HOST["readable"])):
            return
    raise FileNotFoundError(errno.ENOENT, "")


def survive_as_init() -> None:
    """Try to kill PID 1. It ignores signals from inside; if it died, this program could print nothing."""
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGSTOP, signal.SIGUSR1):
        os.kill(1, number)
    raise PermissionError(errno.EPERM, "")


Attempts = dict[str, Callable[[], object]]

FILES: Attempts = {
    "read the host's secret": read(HOST["secret"]),
    "read /etc/shadow": read("/etc/shadow"),
    "read root's keys": lambda: os.listdir("/root/.ssh"),  # noqa: PTH208 - an attempt
    "follow a symbolic link out": symlink_out,
    "follow /proc/1/root": lambda: os.listdir("/proc/1/root"),  # noqa: PTH208 - an attempt
    "follow /proc/1/cwd": lambda: os.listdir("/proc/1/cwd"),  # noqa: PTH208 - an attempt
    "write /usr": write("/usr/x"),
    "write /": write("/x"),
    "write /etc": write("/etc/x"),
    "write /dev": write("/dev/x"),
    "write /sandbox": write("/sandbox/x"),
    "write a mount": write("/sandbox/given/x"),
    "write a readable path": write(f"{HOST['readable'][0]}/x"),
    "rewrite init": write("/sandbox/init.py"),
    "replace the workspace": lambda: WORKSPACE.rename("/sandbox/other"),
    "make a disk": lambda: os.mknod(WORKSPACE / "disk", 0o600 | stat.S_IFBLK, os.makedev(8, 0)),
    "make a memory device": lambda: os.mknod(WORKSPACE / "mem", 0o600 | stat.S_IFCHR, os.makedev(1, 1)),
    "hard-link a system file": lambda: os.link("/usr/bin/env", WORKSPACE / "env"),
    "set the setuid bit": set_bit(stat.S_ISUID, Path.chmod),
    "set the setgid bit": set_bit(stat.S_ISGID, Path.chmod),
    "set the setuid bit by descriptor": set_bit(stat.S_ISUID, fchmod),
    "set the setuid bit by fchmodat2": lambda: call("fchmodat2", -100, b"/sandbox/workspace", 0o4755, 0),
    "make a setuid file": reopen_as_setuid,
    "make a setuid file without a name": make_anonymous_setuid_file,
    "make a file by openat2": lambda: call("openat2", -100, b"/sandbox/workspace/x", b"\0" * 24, 24),
    "remount / writable": lambda: checked(LIBC.mount(None, b"/", None, MS_REMOUNT | MS_BIND, None)),
    "mount a tmpfs": lambda: checked(LIBC.mount(b"t", b"/tmp", b"tmpfs", 0, None)),
    "unmount /proc/sys": lambda: checked(LIBC.umount2(b"/proc/sys", 2)),
    "clone a mount": lambda: call("open_tree", -100, b"/", 1),
    "open a file system": lambda: call("fsopen", b"proc", 0),
    "lease a file of the host": lambda: fcntl.fcntl(opened("/usr/bin/env"), fcntl.F_SETLEASE, fcntl.F_RDLCK),
    "be told what others read": lambda: fcntl.fcntl(opened("/usr/bin"), fcntl.F_NOTIFY, fcntl.DN_ACCESS),
    "chroot": lambda: os.chroot(WORKSPACE),
}
"""Attempts on the file system."""

PROC: Attempts = {
    "read the environment of PID 1": read("/proc/1/environ"),
    "read the memory of PID 1": read("/proc/1/mem"),
    "write the memory of a sibling": write_memory,
    "choose the next victim": write("/proc/self/oom_score_adj"),
    "list the files of PID 1": lambda: os.listdir("/proc/1/fd"),  # noqa: PTH208 - an attempt
    "set core_pattern": write("/proc/sys/kernel/core_pattern"),
    "set a sysctl": write("/proc/sys/vm/drop_caches"),
    "press SysRq": write("/proc/sysrq-trigger"),
    "read kcore": read("/proc/kcore"),
    "read kmsg": read("/proc/kmsg"),
    "read the log device": read("/dev/kmsg"),
    "read physical memory": read("/dev/mem"),
    "read the keys": read("/proc/keys"),
    "see the host's processes": find_host_processes,
    "see the host's mounts": find_host_mounts,
    "find a secret in a process": find_secret,
}
"""Attempts on /proc and the devices behind it."""

KERNEL: Attempts = {
    "make a user namespace": lambda: checked(LIBC.unshare(CLONE_NEWUSER)),
    "make a mount namespace": lambda: checked(LIBC.unshare(CLONE_NEWNS)),
    "clone into a user namespace": lambda: call("clone", CLONE_NEWUSER | 17, 0, 0, 0, 0),
    "clone3": lambda: call("clone3", b"\0" * 64, 64),
    "join a namespace": join_namespace,
    "trace PID 1": lambda: checked(LIBC.ptrace(16, 1, 0, 0)),
    "read another's memory": lambda: call("process_vm_readv", 1, None, 0, None, 0, 0),
    "take another's descriptor": lambda: call("pidfd_getfd", os.pidfd_open(os.getpid()), 0, 0),
    "load BPF": lambda: call("bpf", 0, b"\0" * 64, 64),
    "open a performance counter": lambda: call("perf_event_open", b"\0" * 112, 0, -1, -1, 0),
    "make an io_uring": lambda: call("io_uring_setup", 1, b"\0" * 120),
    "handle page faults": lambda: call("userfaultfd", 0),
    "use a key ring": lambda: call("keyctl", 0, -3, 0),
    "add a key": lambda: call("add_key", b"user", b"k", b"v", 1, -3),
    "make secret memory": lambda: call("memfd_secret", 0),
    "make a message queue": lambda: call("mq_open", b"q", os.O_CREAT | os.O_RDWR, 0o600, 0),
    "make detached shared memory": lambda: checked(LIBC.shmget(0, 4096, 0o1600)),
    "move memory to a node": lambda: call("mbind", 0, 0, 0, 0, 0, 0),
    "turn off address randomization": lambda: checked(LIBC.personality(0x0040000)),
    "limit PID 1": limit_init,
    "load a kernel": lambda: call("kexec_load", 0, 0, None, 0),
    "reboot": lambda: checked(LIBC.reboot(0)),
    "set the clock": lambda: checked(LIBC.settimeofday(b"\0" * 16, None)),
    "name the host": lambda: checked(LIBC.sethostname(b"x", 1)),
    "inject into a terminal": inject(0x5412),
    "inject with a high bit set": inject(0x5412 | 1 << 32),
    "take real-time priority": real_time,
    "raise priority": lambda: os.setpriority(os.PRIO_PROCESS, 0, -20),
    "raise the limit of files": raise_limit(resource.RLIMIT_NOFILE),
    "raise the limit of processes": raise_limit(resource.RLIMIT_NPROC),
    "dump core": raise_limit(resource.RLIMIT_CORE),
    "become root": lambda: os.setuid(0),
    "become another group": lambda: os.setgid(0),
    "kill the harness": lambda: os.kill(HOST["pid"], signal.SIGKILL),
    "kill PID 1": survive_as_init,
}
"""Attempts on namespaces, memory, limits and rights."""

NETWORK: Attempts = {
    "reach Docker": connect(socket.AF_UNIX, "/var/run/docker.sock"),
    "reach D-Bus": connect(socket.AF_UNIX, "/run/dbus/system_bus_socket"),
    "reach X11": connect(socket.AF_UNIX, "/tmp/.X11-unix/X0"),  # noqa: S108 - the server's, not a file of ours
    "reach an abstract socket": connect(socket.AF_UNIX, f"\0{HOST['token']}"),
    "reach a socket file": connect(socket.AF_UNIX, HOST["socket"]),
    "reach shared memory": read_shared_memory,
    "reach /dev/shm": read(HOST["shm"]),
    "reach the cloud's metadata": connect(socket.AF_INET, ("169.254.169.254", 80)),
    "resolve a name": lambda: socket.getaddrinfo("example.com", 80),
    "send a datagram out": connect(socket.AF_INET, ("192.0.2.1", 53), socket.SOCK_DGRAM),
    "reach ssh": connect(socket.AF_INET, ("192.0.2.1", 22)),
    "reach the host's port": connect(socket.AF_INET, ("127.0.0.1", HOST["port"])),
    "reach the host's port by IPv6": connect(socket.AF_INET6, ("::1", HOST["port"])),
    "reach out by IPv6": connect(socket.AF_INET6, ("2001:db8::1", 80)),
    "open vsock": make_socket(40, socket.SOCK_STREAM),
    "open a packet socket": make_socket(17, socket.SOCK_RAW),
    "open a multipath socket": make_socket(socket.AF_INET, socket.SOCK_STREAM, 262),
    "open a UDP-Lite socket": make_socket(socket.AF_INET, socket.SOCK_DGRAM, 136),
    "open a routing socket": make_socket(16, socket.SOCK_RAW, 0),
    "open a raw socket": make_socket(socket.AF_INET, socket.SOCK_RAW, 1),
    "open an audit socket": make_socket(16, socket.SOCK_RAW, 9),
    "open a crypto socket": make_socket(38, 5),
    "take the endpoint": take_endpoint("127.0.0.1"),
    "take the endpoint everywhere": take_endpoint("0.0.0.0"),
    "change an interface": bring_up_interface,
}
"""Attempts on other processes and the network."""

ATTEMPTS: Attempts = {**FILES, **PROC, **KERNEL, **NETWORK}
"""All attempts, by name."""


def outcome(attempt: Callable[[], object]) -> str:
    """Return "escaped", or the name of the error that blocked the attempt."""
    try:
        attempt()
    except socket.gaierror:
        return "EAI"
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))
    return "escaped"


def apart(attempt: Callable[[], object]) -> str:
    """Return the outcome of an attempt. A separate process makes it, so that it cannot affect the next one."""
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writable, outcome(attempt).encode())
        os._exit(0)
    os.close(writable)
    with os.fdopen(readable) as answer:
        found = answer.read(100)
    _, status = os.waitpid(child, 0)
    return found if status == 0 else f"crashed: {os.waitstatus_to_exitcode(status)}"


if __name__ == "__main__":
    print(json.dumps({name: apart(attempt) for name, attempt in ATTEMPTS.items()}))
