"""Attempts by system calls: namespaces, memory, kernel subsystems, and calls in disguise."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
from collections.abc import Callable

from .trying import HOSTS_RIGHTS, LIBC, X86, Attempts, Impossible, attempt, call, calls, checked, reaches, refuse

NEWNS, NEWCGROUP, NEWUTS, NEWIPC = 0x00020000, 0x02000000, 0x04000000, 0x08000000
NEWUSER, NEWPID, NEWNET, NEWTIME = 0x10000000, 0x20000000, 0x40000000, 0x80
SIGCHLD = 17
PAGE = mmap.PAGESIZE
KEPT: list[mmap.mmap] = []
"""Memory that code runs in."""


def unshares(flag: int) -> Callable[[], object]:
    return lambda: checked(LIBC.unshare(flag))


def clones(flags: int) -> Callable[[], object]:
    """Return an attempt that starts a process with these flags. The process ends at once."""

    def attempted() -> None:
        if call("clone", flags | SIGCHLD, 0, 0, 0, 0) == 0:
            os._exit(0)

    return attempted


def clone3() -> None:
    fields = (NEWUSER, 0, 0, 0, SIGCHLD, 0, 0, 0)
    arguments = b"".join(field.to_bytes(8, "little") for field in fields)
    if call("clone3", arguments, len(arguments)) == 0:
        os._exit(0)


def join_namespace() -> None:
    checked(LIBC.setns(os.open("/proc/self/ns/uts", os.O_RDONLY), 0))


def join_init() -> None:
    checked(LIBC.setns(os.pidfd_open(1), NEWUTS))


def machine_code(code: bytes) -> Callable[[], int]:
    memory = mmap.mmap(-1, PAGE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    memory.write(code)
    KEPT.append(memory)
    return ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(memory)))


def old_call() -> None:
    """Make a 32-bit system call (int 0x80), whose numbers are others."""
    if not X86:
        raise Impossible("this architecture has no int 0x80")
    code = b"\x53\xb8\x14\x00\x00\x00\xcd\x80\x5b\xc3"  # push rbx; mov eax, getpid; int 0x80; pop rbx; ret
    result = machine_code(code)()
    if result != os.getpid():
        raise Impossible("this kernel has no 32-bit calls")


def x32_call() -> None:
    """Make a system call of the x32 interface, whose numbers have a bit of their own."""
    if not X86:
        raise Impossible("this architecture has no x32")
    checked(LIBC.syscall(ctypes.c_long(0x40000000 | 39)))


def attributes(size: int, *fields: tuple[int, int, int]) -> bytes:
    """Return a structure of a size, with integers in it: (offset, bytes, value)."""
    made = bytearray(size)
    for offset, length, value in fields:
        made[offset : offset + length] = value.to_bytes(length, "little")
    return bytes(made)


SOFTWARE_EVENT = attributes(112, (0, 4, 1), (4, 4, 112), (40, 8, 0b1100000))
ARRAY_MAP = attributes(64, (0, 4, 2), (4, 4, 4), (8, 4, 4), (12, 4, 1))


def mapped() -> int:
    LIBC.mmap.restype = ctypes.c_void_p
    return int(LIBC.mmap(None, ctypes.c_size_t(PAGE), 3, 0x22, -1, ctypes.c_long(0)))


def bind_memory() -> None:
    call("mbind", mapped(), PAGE, 0, 0, 0, 0)


def move_pages() -> None:
    call("move_pages", 0, 0, None, None, None, 0)


def make_segment() -> None:
    identifier = call("shmget", 0, PAGE, 0o1600)
    LIBC.shmctl(identifier, 0, None)


def make_semaphore() -> None:
    identifier = call("semget", 0, 1, 0o1600)
    LIBC.semctl(identifier, 0, 0)


def make_message_box() -> None:
    identifier = call("msgget", 0, 0o1600)
    LIBC.msgctl(identifier, 0, None)


def make_message_queue() -> None:
    name = f"proctor-escape-{os.getpid()}".encode()
    call("mq_open", name, os.O_CREAT | os.O_RDWR, 0o600, 0)
    LIBC.mq_unlink(b"/" + name)


def watch_queue() -> None:
    """Make a pipe for notifications of the kernel (as in CVE-2022-0995) and give it a size."""
    ends = (ctypes.c_int * 2)()
    checked(LIBC.pipe2(ends, os.O_EXCL))
    checked(LIBC.ioctl(ends[0], ctypes.c_ulong(0x5760), ctypes.c_ulong(1)))


def injects(request: int) -> Callable[[], object]:
    """Return an attempt to type into a terminal. It succeeds if the terminal's driver gets the request."""

    def attempted() -> None:
        _, terminal = os.openpty()
        try:
            checked(LIBC.ioctl(terminal, ctypes.c_ulong(request), b"\x02"))
        except OSError as error:
            if error.errno not in {errno.ENOTTY, errno.EINVAL, errno.EIO}:
                raise
            if error.errno == errno.ENOTTY and request & 0xFFFFFFFF != 0x541C:
                raise

    return attempted


def adjust_clock(name: str, *first: int) -> Callable[[], object]:
    """Return an attempt to set the clock's rate to what it is."""

    def attempted() -> None:
        state = ctypes.create_string_buffer(208)
        call(name, *first, state)
        ctypes.memmove(state, (0x4000).to_bytes(4, "little"), 4)  # ADJ_TICK
        call(name, *first, state)

    return attempted


def read_port() -> None:
    checked(LIBC.iopl(3))


def reserve() -> None:
    """Reserve space on the disk faster than a limit can see it."""
    file = os.open("reserved", os.O_CREAT | os.O_RDWR)
    os.posix_fallocate(file, 0, 1 << 20)
    call("fallocate", file, 0, 0, 1 << 20)


def controls(option: int, *arguments: int) -> Callable[[], object]:
    return lambda: checked(LIBC.prctl(option, *(ctypes.c_ulong(one) for one in (*arguments, 0, 0, 0, 0)[:4])))


def controls_or_invalid(option: int) -> Callable[[], object]:
    """Return an attempt whose arguments the kernel finds wrong only after it has asked for rights."""

    def attempted() -> None:
        try:
            controls(option, 999)()
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            if option == 35 and not effective(24):
                refuse(errno.EPERM)

    return attempted


def effective(capability: int) -> bool:
    with open("/proc/self/status") as status:  # noqa: PTH123 - as short as it gets
        [line] = [line for line in status if line.startswith("CapEff:")]
    return bool(int(line.split()[1], 16) >> capability & 1)


def map_at_zero() -> None:
    """Map the page at address 0, where a kernel that follows a null pointer would look."""
    LIBC.mmap.restype = ctypes.c_void_p
    if LIBC.mmap(ctypes.c_void_p(0), ctypes.c_size_t(PAGE), 3, 0x32, -1, ctypes.c_long(0)) is None:
        return
    refuse(errno.EPERM)


_SPACE = "seccomp rights landlock"

KERNEL: Attempts = {
    "make a user namespace": attempt(unshares(NEWUSER), "seccomp userns"),
    "make a mount namespace": attempt(unshares(NEWNS), _SPACE),
    "make a PID namespace": attempt(unshares(NEWPID), _SPACE),
    "make a network namespace": attempt(unshares(NEWNET), _SPACE),
    "make an IPC namespace": attempt(unshares(NEWIPC), _SPACE),
    "make a UTS namespace": attempt(unshares(NEWUTS), _SPACE),
    "make a cgroup namespace": attempt(unshares(NEWCGROUP), _SPACE),
    "make a time namespace": attempt(unshares(NEWTIME), _SPACE),
    "clone into a user namespace": attempt(clones(NEWUSER), "seccomp userns"),
    "clone into a network namespace": attempt(clones(NEWNET), _SPACE),
    "clone into a user namespace with high bits": attempt(clones(NEWUSER | 1 << 40), "seccomp userns"),
    "clone3 into a user namespace": attempt(clone3, "seccomp userns"),
    "join a namespace": attempt(join_namespace, _SPACE),
    "join init's namespaces": attempt(join_init, _SPACE),
    "make a 32-bit call": attempt(old_call, "seccomp"),
    "make an x32 call": attempt(x32_call, "seccomp"),
    "load BPF": attempt(calls("bpf", 0, ARRAY_MAP, 64), _SPACE, HOSTS_RIGHTS),
    "open a performance counter": attempt(calls("perf_event_open", SOFTWARE_EVENT, 0, -1, -1, 0), "seccomp"),
    "make an io_uring": attempt(calls("io_uring_setup", 1, bytes(120)), "seccomp"),
    "handle page faults": attempt(calls("userfaultfd", 1), "seccomp"),
    "use a key ring": attempt(calls("keyctl", 0, -3, 0), "seccomp"),
    "add a key": attempt(calls("add_key", b"user", b"proctor", b"v", 1, -1), "seccomp"),
    "ask for a key": attempt(reaches("request_key", b"user", b"proctor-none", None, 0), "seccomp"),
    "make secret memory": attempt(calls("memfd_secret", 0), "seccomp"),
    "make a message queue": attempt(make_message_queue, "seccomp limits landlock"),
    "make detached shared memory": attempt(make_segment, "seccomp"),
    "make a semaphore": attempt(make_semaphore, "seccomp"),
    "make a message box": attempt(make_message_box, "seccomp"),
    "bind memory to a node": attempt(bind_memory, "seccomp"),
    "set a memory policy": attempt(calls("set_mempolicy", 0, None, 0), "seccomp"),
    "get a memory policy": attempt(calls("get_mempolicy", None, None, 0, 0, 0), "seccomp"),
    "move pages": attempt(move_pages, "seccomp"),
    "migrate pages": attempt(reaches("migrate_pages", 0, 0, None, None), "seccomp"),
    "turn off address randomization": attempt(lambda: checked(LIBC.personality(0x0040000)), "seccomp"),
    "run as on another system": attempt(lambda: checked(LIBC.personality(0x0008)), "seccomp"),
    "watch the kernel's events": attempt(watch_queue, "seccomp"),
    "type into a terminal": attempt(injects(0x5412), "seccomp rights", HOSTS_RIGHTS),
    "type into a terminal with high bits": attempt(injects(0x5412 | 1 << 32), "seccomp rights", HOSTS_RIGHTS),
    "paste into a console": attempt(injects(0x541C), "seccomp"),
    "change a descriptor table": attempt(calls("modify_ldt", 0, bytes(16), 16), "seccomp"),
    "reach hardware ports": attempt(read_port, "seccomp rights", HOSTS_RIGHTS),
    "reach one hardware port": attempt(calls("ioperm", 0x80, 1, 1), "seccomp rights", HOSTS_RIGHTS),
    "list file systems": attempt(calls("sysfs", 3), "seccomp"),
    "load a library the old way": attempt(reaches("uselib", b"/nowhere"), "seccomp"),
    "account for processes": attempt(calls("acct", None), "seccomp rights", HOSTS_RIGHTS),
    "swap to a file": attempt(reaches("swapon", b"/nowhere", 0), "seccomp rights", HOSTS_RIGHTS),
    "load a module": attempt(reaches("init_module", None, 0, b""), "seccomp rights", HOSTS_RIGHTS),
    "load a module from a file": attempt(reaches("finit_module", -1, b"", 0), "seccomp rights", HOSTS_RIGHTS),
    "unload a module": attempt(reaches("delete_module", b"proctor-none", 0o4000), "seccomp rights", HOSTS_RIGHTS),
    "load a kernel": attempt(reaches("kexec_load", 0, 0, None, 0xFFFF), "seccomp rights", HOSTS_RIGHTS),
    "reboot": attempt(reaches("reboot", 1, 1, 0, None), "seccomp rights", HOSTS_RIGHTS),
    "set the clock": attempt(adjust_clock("adjtimex"), "seccomp rights", HOSTS_RIGHTS),
    "set the clock by its number": attempt(adjust_clock("clock_adjtime", 0), "seccomp rights", HOSTS_RIGHTS),
    "name the host": attempt(lambda: checked(LIBC.sethostname(b"sandbox", 7)), "seccomp rights"),
    "name the domain": attempt(lambda: checked(LIBC.setdomainname(b"sandbox", 7)), "seccomp rights"),
    "reserve space": attempt(reserve, "seccomp"),
    "redraw the memory map": attempt(controls_or_invalid(35), "seccomp rights", HOSTS_RIGHTS),
    "stop performance counters": attempt(controls(31), "seccomp"),
    "redirect system calls": attempt(controls(59, 0), "seccomp"),
    "map the page at 0": attempt(map_at_zero, "rights", HOSTS_RIGHTS),
}
"""Attempts by system calls, by name."""
