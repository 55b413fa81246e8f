"""Attempts on processes, on /proc, and on the devices behind it."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from .trying import HOST, HOSTS_RIGHTS, LIBC, Attempts, attempt, call, calls, checked, lists, opens, reaches, refuse

WRITE = os.O_WRONLY
PTRACE_TRACEME, PTRACE_ATTACH, PTRACE_SEIZE = 0, 16, 0x4206


def on_sibling(act: Callable[[int], object]) -> Callable[[], object]:
    """Return an attempt on another process of the room."""

    def attempted() -> None:
        with subprocess.Popen(["/bin/sleep", "9"]) as sibling:
            try:
                act(sibling.pid)
            finally:
                sibling.kill()

    return attempted


def write_memory(pid: int) -> None:
    os.close(os.open(f"/proc/{pid}/mem", os.O_WRONLY))


def read_by_call(pid: int) -> None:
    """Read a page of another process (process_vm_readv)."""
    call("process_vm_readv", pid, None, 0, None, 0, 0)


def write_by_call(pid: int) -> None:
    call("process_vm_writev", pid, None, 0, None, 0, 0)


def take_descriptor(pid: int) -> None:
    time.sleep(0.05)
    call("pidfd_getfd", os.pidfd_open(pid), 0, 0)


def advise(pid: int) -> None:
    try:
        call("process_madvise", os.pidfd_open(pid), None, 0, 20, 0)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise


def trace(pid: int) -> None:
    checked(LIBC.ptrace(PTRACE_ATTACH, pid, 0, 0))


def compare(pid: int) -> None:
    call("kcmp", os.getpid(), pid, 0, 0, 0)


def find_token() -> None:
    """Look for the host's token in the environment and the command line of the host's process."""
    for name in ("environ", "cmdline"):
        try:
            text = Path("/proc", str(HOST["pid"]), name).read_bytes()
        except PermissionError:
            continue
        if HOST["token"].encode() in text:
            return
    refuse()


def find_processes() -> None:
    """Look for a process that does not belong to the room."""
    Path("/proc", str(HOST["pid"])).stat()


def holds_something(place: str) -> bool:
    """Return whether a mount is more than an empty cover, or the empty file by which podman marks a container."""
    if not os.path.isdir(place):  # noqa: PTH112 - the attempt's own text
        return place != "/run/.containerenv"
    return any(names for _, _, names in os.walk(place))


def find_mounts() -> None:
    """Look for a mount of the host that does not belong to the room."""
    own = ("/usr", "/bin", "/sbin", "/lib", "/etc/", "/proc", "/dev", "/tmp", "/sandbox", *HOST["shown"])  # noqa: S108
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        place = line.split()[4]
        leads_to_shown = any(shown.startswith(f"{place}/") for shown in HOST["shown"])
        if place not in {"/", "/etc"} and not place.startswith(own) and not leads_to_shown and holds_something(place):
            return
    refuse(errno.ENOENT)


def find_the_case() -> None:
    """Look for the name of the case in what a process can see of itself and its mounts."""
    for name in ("self/mountinfo", "self/mounts", "self/mountstats", "self/cgroup", "self/cmdline", "self/environ"):
        with suppress(FileNotFoundError):
            if HOST["case"].encode() in Path("/proc", name).read_bytes():
                return
    refuse(errno.ENOENT)


def stop_init() -> None:
    """Stop the room's init, and let it go on. The kernel gives the first process of a room no signal from inside."""
    init = HOST["init"]
    os.kill(init, signal.SIGSTOP)
    time.sleep(0.1)
    state = Path(f"/proc/{init}/stat").read_text().rpartition(")")[2].split()[0]
    os.kill(init, signal.SIGCONT)
    if state != "T":
        refuse(errno.EPERM)


def limit_init() -> None:
    """Set a limit of the room's init: with no CPU time at all, the kernel would kill it. Here it stays as it is."""
    limits = resource.prlimit(os.getpid(), resource.RLIMIT_CPU)
    resource.prlimit(HOST["init"], resource.RLIMIT_CPU, limits)


def replace_program() -> None:
    """Open the program of init for writing (as in CVE-2019-5736). It is busy while it runs, not out of reach."""
    try:
        os.close(os.open("/proc/1/exe", os.O_WRONLY))
    except OSError as error:
        if error.errno not in {errno.ETXTBSY, errno.EROFS}:
            raise


def read_the_clock_of_others() -> None:
    """Set the name that another process's timers run under (a time namespace's offsets)."""
    os.close(os.open("/proc/self/timens_offsets", os.O_WRONLY))


_KERNEL = "proc rights landlock"
_DEVICE = "devices rights landlock"
_NOT_HIS = "may not open it on the host either"

PROC: Attempts = {
    "read the environment of PID 1": attempt(opens("/proc/1/environ"), "rights landlock"),
    "read the memory of PID 1": attempt(opens("/proc/1/mem"), "rights landlock"),
    "write the memory of PID 1": attempt(opens("/proc/1/mem", WRITE), "rights landlock proc"),
    "list the files of PID 1": attempt(lists("/proc/1/fd"), "rights landlock"),
    "read the memory map of PID 1": attempt(opens("/proc/1/maps"), "rights landlock"),
    "replace the program of PID 1": attempt(replace_program, "rights landlock", "does not own the program"),
    "trace PID 1": attempt(lambda: checked(LIBC.ptrace(PTRACE_SEIZE, 1, 0, 0)), "seccomp rights landlock"),
    "be traced by the parent": attempt(lambda: checked(LIBC.ptrace(PTRACE_TRACEME, 0, 0, 0)), "seccomp landlock"),
    "trace a sibling": attempt(on_sibling(trace), "seccomp"),
    "write the memory of a sibling": attempt(on_sibling(write_memory), "landlock proc"),
    "read a sibling by a call": attempt(on_sibling(read_by_call), "seccomp"),
    "write a sibling by a call": attempt(on_sibling(write_by_call), "seccomp"),
    "take a descriptor of a sibling": attempt(on_sibling(take_descriptor), "seccomp"),
    "advise the memory of a sibling": attempt(on_sibling(advise), "seccomp rights", HOSTS_RIGHTS),
    "compare with a sibling": attempt(on_sibling(compare), "seccomp"),
    "stop init": attempt(stop_init, "pid landlock"),
    "limit init": attempt(limit_init, "seccomp"),
    "signal the harness": attempt(lambda: os.kill(HOST["pid"], 0), "pid rights landlock"),
    "see the host's processes": attempt(find_processes, "pid"),
    "find a secret in a process": attempt(find_token, "pid rights landlock"),
    "see the host's mounts": attempt(find_mounts, "mounts"),
    "learn the case's name": attempt(find_the_case, "mounts"),
    "lower its own place among the victims": attempt(opens("/proc/self/oom_score_adj", WRITE), "landlock proc"),
    "change its own name in /proc": attempt(opens("/proc/self/comm", WRITE), "landlock proc"),
    "map its own uids": attempt(opens("/proc/self/uid_map", WRITE), "landlock proc"),
    "move the clock of a time namespace": attempt(read_the_clock_of_others, "landlock proc"),
    "set core_pattern": attempt(opens("/proc/sys/kernel/core_pattern", WRITE), _KERNEL, HOSTS_RIGHTS),
    "set modprobe": attempt(opens("/proc/sys/kernel/modprobe", WRITE), _KERNEL, HOSTS_RIGHTS),
    "set poweroff_cmd": attempt(opens("/proc/sys/kernel/poweroff_cmd", WRITE), _KERNEL, HOSTS_RIGHTS),
    "drop caches": attempt(opens("/proc/sys/vm/drop_caches", WRITE), _KERNEL, HOSTS_RIGHTS),
    "set overcommit": attempt(opens("/proc/sys/vm/overcommit_memory", WRITE), _KERNEL, HOSTS_RIGHTS),
    "set panic_on_oom": attempt(opens("/proc/sys/vm/panic_on_oom", WRITE), _KERNEL, HOSTS_RIGHTS),
    "let files be linked": attempt(opens("/proc/sys/fs/protected_hardlinks", WRITE), _KERNEL, HOSTS_RIGHTS),
    "forward packets": attempt(opens("/proc/sys/net/ipv4/ip_forward", WRITE), _KERNEL),
    "choose the next pid": attempt(opens("/proc/sys/kernel/ns_last_pid", WRITE), _KERNEL),
    "register a binary format": attempt(opens("/proc/sys/fs/binfmt_misc/register", WRITE), _KERNEL, HOSTS_RIGHTS),
    "press SysRq": attempt(opens("/proc/sysrq-trigger", WRITE), _KERNEL, HOSTS_RIGHTS),
    "steer interrupts": attempt(opens("/proc/irq/default_smp_affinity", WRITE), _KERNEL, HOSTS_RIGHTS),
    "change memory types": attempt(opens("/proc/mtrr", WRITE), _KERNEL, HOSTS_RIGHTS),
    "open kcore": attempt(opens("/proc/kcore"), "proc rights", HOSTS_RIGHTS),
    "open kmsg": attempt(opens("/proc/kmsg"), "proc rights", HOSTS_RIGHTS),
    "open page counts": attempt(opens("/proc/kpagecount"), "proc rights", HOSTS_RIGHTS),
    "read the kernel's symbols": attempt(opens("/proc/kallsyms"), "proc"),
    "read the kernel's command line": attempt(opens("/proc/cmdline"), "proc"),
    "read the kernel's configuration": attempt(opens("/proc/config.gz"), "proc"),
    "read the key rings": attempt(opens("/proc/keys"), "proc"),
    "read timers": attempt(opens("/proc/timer_list"), "proc rights", HOSTS_RIGHTS),
    "read interrupts": attempt(opens("/proc/interrupts"), "proc"),
    "read locks": attempt(opens("/proc/locks"), "proc"),
    "read disks": attempt(opens("/proc/diskstats"), "proc"),
    "read pressure": attempt(opens("/proc/pressure/cpu"), "proc"),
    "read shared memory's table": attempt(opens("/proc/sysvipc/shm"), "proc"),
    "write a cgroup": attempt(opens("/sys/fs/cgroup/memory/cgroup.procs", WRITE), "mounts rights landlock", _NOT_HIS),
    "read the firmware": attempt(lists("/sys/firmware"), "mounts"),
    "change the kernel's pages": attempt(
        opens("/sys/kernel/mm/transparent_hugepage/enabled", WRITE), "mounts rights landlock", _NOT_HIS
    ),
    "open the log device": attempt(opens("/dev/kmsg", WRITE), _DEVICE, _NOT_HIS),
    "open physical memory": attempt(opens("/dev/mem"), _DEVICE, _NOT_HIS),
    "open ports": attempt(opens("/dev/port"), _DEVICE, _NOT_HIS),
    "open the host's disk": attempt(opens("{disk}"), _DEVICE, _NOT_HIS),
    "open a loop device": attempt(opens("/dev/loop-control"), _DEVICE, _NOT_HIS),
    "open FUSE": attempt(opens("/dev/fuse", os.O_RDWR), _DEVICE, _NOT_HIS),
    "open KVM": attempt(opens("/dev/kvm", os.O_RDWR), _DEVICE, _NOT_HIS),
    "open a tunnel": attempt(opens("/dev/net/tun", os.O_RDWR), _DEVICE, _NOT_HIS),
    "open userfaultfd": attempt(opens("/dev/userfaultfd", os.O_RDWR), _DEVICE, _NOT_HIS),
    "open vsock's device": attempt(opens("/dev/vsock", os.O_RDWR), _DEVICE, _NOT_HIS),
    "open a console": attempt(opens("/dev/tty1", os.O_RDWR | os.O_NOCTTY), _DEVICE, _NOT_HIS),
    "hang up the terminal": attempt(reaches("vhangup"), "seccomp rights", HOSTS_RIGHTS),
    "read the kernel's log": attempt(calls("syslog", 10, None, 0), "seccomp rights", HOSTS_RIGHTS),
}
"""Attempts on processes, /proc and devices, by name."""
