"""Attempts on the file system."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import select
import stat
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from .trying import (
    HOST,
    HOSTS_RIGHTS,
    LIBC,
    Attempts,
    Impossible,
    attempt,
    call,
    calls,
    checked,
    creates,
    filled,
    lists,
    opens,
    reaches,
    refuse,
    workspace,
)

HERE = -100
"""AT_FDCWD."""
MS_REMOUNT, MS_BIND, NEWNS = 32, 4096, 0x20000
IN_OPEN, F_OFD_GETLK = 0x20, 36
WATCHED_S = 0.5
"""How long a watch waits. What it waits for happens much more often."""


def follow_link() -> None:
    link = workspace("link")
    link.symlink_to(HOST["secret"])
    link.read_bytes()


def climb() -> None:
    """Follow .. to a folder beside the room's own."""
    Path(f"../../../../..{HOST['neighbour']}").read_bytes()


def find_by_walking() -> None:
    """Look for the host's file in every folder near the root."""
    for top in ("/", "/sandbox", "/tmp", "/mnt", "/media", "/srv", "/opt"):  # noqa: S108 - places to look
        for folder in (Path(top), *sorted(Path(top).glob("*/"))[:50]):
            with suppress(OSError):
                Path(folder, Path(HOST["secret"]).name).stat()
                return
    Path(HOST["secret"]).stat()


def hard_link() -> None:
    """Give a file of the host a second name in the workspace."""
    workspace("linked").unlink(missing_ok=True)
    os.link(HOST["given_file"], workspace("linked"))


def rename_out() -> None:
    Path(workspace("moved")).touch()
    workspace("moved").rename(Path(HOST["given_file"]).with_name("moved"))
    Path(HOST["given_file"]).with_name("moved").unlink()


def exchange() -> None:
    """Put a link in the place of the room's folder, for the host to follow (as in CVE-2021-30465)."""
    unmount(str(Path.cwd()))


def write_through_read_only_memory() -> None:
    """Write to a mapping of a read-only file, by /proc/self/mem (as in Dirty COW)."""
    file = os.open(HOST["given_file"], os.O_RDONLY)
    size = os.fstat(file).st_size
    LIBC.mmap.restype = ctypes.c_void_p
    place = LIBC.mmap(None, ctypes.c_size_t(size), 1, 1, file, ctypes.c_long(0))
    memory = os.open("/proc/self/mem", os.O_RDWR)
    os.pwrite(memory, b"X", place)
    if os.pread(file, 1, 0) != b"X":
        refuse()


def splice_into_a_read_only_file() -> None:
    """Write to a page that a pipe shares with a read-only file (as in Dirty Pipe)."""
    near, far = os.pipe()
    os.write(far, b"x" * 65536)
    os.read(near, 65536)
    file = os.open(HOST["given_file"], os.O_RDONLY)
    os.splice(file, far, 1, offset_src=0)
    os.write(far, b"XX")
    if os.pread(file, 3, 0)[1:] == b"XX":
        return
    refuse()


def make_node(kind: int, major: int, minor: int) -> Callable[[], object]:
    def attempted() -> None:
        os.mknod(workspace("node"), 0o600 | kind, os.makedev(major, minor))
        workspace("node").unlink()

    return attempted


def sets_bit(bit: int, function: Callable[[Path, int], None]) -> Callable[[], object]:
    def attempted() -> None:
        file = workspace(f"bits-{os.getpid()}")
        function(file, 0o755 | bit)
        if not file.stat().st_mode & bit:
            refuse()

    return attempted


def chmod(file: Path, mode: int) -> None:
    file.touch()
    file.chmod(mode)


def fchmod(file: Path, mode: int) -> None:
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT)
    os.fchmod(descriptor, mode)


def fchmodat2(file: Path, mode: int) -> None:
    file.touch()
    call("fchmodat2", HERE, os.fsencode(file), mode, 0)


def chmod_with_high_bits(file: Path, mode: int) -> None:
    file.touch()
    call("fchmodat", HERE, os.fsencode(file), mode | 1 << 40)


def create(file: Path, mode: int) -> None:
    os.umask(0)
    os.open(file, os.O_CREAT | os.O_WRONLY, mode)


def mknod(file: Path, mode: int) -> None:
    os.umask(0)
    os.mknod(file, mode | stat.S_IFREG)


def create_by_openat2(file: Path, mode: int) -> None:
    how = b"".join(part.to_bytes(8, "little") for part in (os.O_CREAT | os.O_WRONLY, mode, 0))
    call("openat2", HERE, os.fsencode(file), how, len(how))


def create_without_name(file: Path, mode: int) -> None:
    descriptor = os.open(file.parent, os.O_TMPFILE | os.O_WRONLY, mode)
    call("linkat", HERE, f"/proc/self/fd/{descriptor}".encode(), HERE, os.fsencode(file), 0x400)


def mount(source: bytes | None, place: str, kind: bytes | None, flags: int = 0, data: bytes | None = None) -> None:
    """Mount for this process alone, if it may, so that the next attempt finds the room as it was."""
    LIBC.unshare(NEWNS)
    checked(LIBC.mount(source, os.fsencode(place), kind, flags, data))


def unmount(place: str) -> None:
    LIBC.unshare(NEWNS)
    checked(LIBC.umount2(os.fsencode(place), 2))


def unmount_mask() -> None:
    """Take a mount away that hides a part of /proc."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    unmount(next(place for line in lines if (place := line.split(" ")[4]).startswith("/proc/")))


def mounts(source: bytes | None, place: str, kind: bytes | None, flags: int = 0) -> Callable[[], object]:
    return lambda: mount(source, place, kind, flags)


def make_writable() -> None:
    """Take the read-only flag from a mount (mount_setattr)."""
    call(
        "mount_setattr", HERE, os.fsencode(HOST["given"]), 0, (0).to_bytes(8, "little") + (1).to_bytes(24, "little"), 32
    )


def mount_cgroups() -> None:
    """Mount the cgroups of the host and open a release agent (as in CVE-2022-0492)."""
    place = workspace("cgroups")
    place.mkdir(exist_ok=True)
    mount(b"c", str(place), b"cgroup", 0, b"memory")
    os.close(os.open(place / "release_agent", os.O_WRONLY))


def open_by_handle() -> None:
    """Open a file by its number, without its path (as in "Shocker")."""
    handle = ctypes.create_string_buffer(136)
    ctypes.memmove(handle, (128).to_bytes(4, "little"), 4)
    mount = ctypes.create_string_buffer(4)
    call("name_to_handle_at", HERE, os.fsencode(Path.cwd()), handle, mount, 0)
    call("open_by_handle_at", os.open(Path.cwd(), os.O_RDONLY), handle, os.O_RDONLY)


def set_attribute(name: bytes, value: bytes) -> Callable[[], object]:
    def attempted() -> None:
        file = workspace("attributes")
        file.touch()
        checked(LIBC.setxattr(os.fsencode(file), name, value, len(value), 0))

    return attempted


def make_immutable() -> None:
    file = os.open(workspace("immutable"), os.O_CREAT | os.O_RDWR)
    checked(LIBC.ioctl(file, ctypes.c_ulong(0x40086602), (0x10).to_bytes(8, "little")))
    checked(LIBC.ioctl(file, ctypes.c_ulong(0x40086602), (0).to_bytes(8, "little")))


def chown() -> None:
    file = workspace("owned")
    file.touch()
    os.chown(file, 0, 0)


def find_open_folders() -> None:
    """Look for a descriptor of the host that was left open (as in CVE-2024-21626)."""
    if not HOST["descriptors"]:
        refuse(errno.EBADF)


def overlay() -> None:
    for name in ("lower", "upper", "work", "merged"):
        workspace(name).mkdir(exist_ok=True)
    where = ",".join(f"{name}dir={workspace(name)}" for name in ("lower", "upper", "work"))
    mount(b"o", str(workspace("merged")), b"overlay", 0, where.encode())


def find_system_files_to_write() -> None:
    """Look for a folder below /usr that can be written to."""
    for top in ("/usr", "/usr/local", "/usr/share", "/usr/lib"):
        for folder in (Path(top), *sorted(Path(top).glob("*/"))[:300]):
            try:
                creates(str(folder))()
            except OSError:
                continue
            return
    refuse(errno.EROFS)


def sees_lock(path: str) -> Callable[[], object]:
    """Return an attempt to find out whether another room has locked a file that both may read."""
    return lambda: lock(os.open(filled(path), os.O_RDONLY))


def lock(file: int) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    refuse()


def see_record_lock() -> None:
    """Ask who would hinder a lock on the bytes of a file. That may be asked without the right to write."""
    asked = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    told = fcntl.fcntl(os.open(HOST["locked"], os.O_RDONLY), F_OFD_GETLK, asked)
    if struct.unpack("hhqqi4x", told)[0] == fcntl.F_UNLCK:
        refuse()


def set_lease() -> None:
    file = os.open(HOST["locked"], os.O_RDONLY)
    if fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK) != 0:
        raise Impossible("this file system has no leases")


def notify() -> None:
    fcntl.fcntl(os.open(os.path.dirname(HOST["locked"]), os.O_RDONLY), fcntl.F_NOTIFY, fcntl.DN_ACCESS)  # noqa: PTH120


def watches(path: str) -> Callable[[], object]:
    """Return an attempt to be told when any process of the machine opens a file that other rooms may read.

    Outside, something opens the file all the time.
    """

    def attempted() -> None:
        told = checked(LIBC.inotify_init())
        checked(LIBC.inotify_add_watch(told, os.fsencode(filled(path)), IN_OPEN))
        if not select.select([told], [], [], WATCHED_S)[0]:
            refuse()

    return attempted


_OPEN = "mounts landlock rights"
_BITS = "seccomp"
_MOUNT = "seccomp rights landlock"
SETUID, SETGID = stat.S_ISUID, stat.S_ISGID
MASKED = (b"\x01\0\0\x02" + b"\xff" * 16)[:20]
"""The capability attribute of a file (version 2) that gives every capability."""

FILES: Attempts = {
    "read the host's secret": attempt(opens("{secret}"), "mounts"),
    "open /etc/shadow": attempt(opens("/etc/shadow"), "mounts"),
    "list root's keys": attempt(lists("/root/.ssh"), "mounts"),
    "list the homes": attempt(lists("/home"), "mounts"),
    "list /var": attempt(lists("/var"), "mounts"),
    "list /run": attempt(lists("/run"), "mounts"),
    "list /sys": attempt(lists("/sys/kernel"), "mounts"),
    "follow a symbolic link out": attempt(follow_link, "mounts"),
    "climb out by ..": attempt(climb, "mounts"),
    "find the secret near the root": attempt(find_by_walking, "mounts"),
    "read another case's folder": attempt(lists("{neighbour_folder}"), "mounts"),
    "write another case's folder": attempt(creates("{neighbour_folder}"), "mounts landlock rights"),
    "follow /proc/1/root": attempt(lists("/proc/1/root"), "rights landlock"),
    "follow /proc/1/cwd": attempt(lists("/proc/1/cwd"), "rights landlock"),
    "write below /usr": attempt(find_system_files_to_write, _OPEN),
    "write to /": attempt(creates("/"), _OPEN),
    "write to /etc": attempt(creates("/etc"), _OPEN),
    "write to /dev": attempt(creates("/dev"), _OPEN),
    "write to /sandbox": attempt(creates("/sandbox"), _OPEN),
    "write to a mount": attempt(creates("{given}"), _OPEN),
    "write to a readable path": attempt(creates("{readable}"), _OPEN),
    "rewrite init": attempt(opens("/sandbox/init.py", os.O_WRONLY), _OPEN),
    "rewrite /etc/passwd": attempt(opens("/etc/passwd", os.O_WRONLY), _OPEN),
    "move a file to a mount": attempt(rename_out, "none"),
    "hard-link a file of the host": attempt(hard_link, "none"),
    "take the workspace from its place": attempt(exchange, _MOUNT),
    "make a disk": attempt(make_node(stat.S_IFBLK, 8, 0), "rights landlock", HOSTS_RIGHTS),
    "make a memory device": attempt(make_node(stat.S_IFCHR, 1, 1), "rights landlock", HOSTS_RIGHTS),
    "set the setuid bit": attempt(sets_bit(SETUID, chmod), _BITS),
    "set the setgid bit": attempt(sets_bit(SETGID, chmod), _BITS),
    "set the setuid bit by descriptor": attempt(sets_bit(SETUID, fchmod), _BITS),
    "set the setuid bit by fchmodat2": attempt(sets_bit(SETUID, fchmodat2), _BITS),
    "set the setuid bit with high bits": attempt(sets_bit(SETUID, chmod_with_high_bits), _BITS),
    "make a setuid file": attempt(sets_bit(SETUID, create), _BITS),
    "make a setuid file by mknod": attempt(sets_bit(SETUID, mknod), _BITS),
    "make a setuid file by openat2": attempt(sets_bit(SETUID, create_by_openat2), _BITS),
    "make a setuid file without a name": attempt(sets_bit(SETUID, create_without_name), _BITS),
    "give a file all capabilities": attempt(set_attribute(b"security.capability", MASKED), "rights", HOSTS_RIGHTS),
    "set a trusted attribute": attempt(set_attribute(b"trusted.x", b"x"), "rights", HOSTS_RIGHTS),
    "make a file immutable": attempt(make_immutable, "seccomp rights", HOSTS_RIGHTS),
    "give a file to root": attempt(chown, "rights", HOSTS_RIGHTS),
    "remount / writable": attempt(mounts(None, "/", None, MS_REMOUNT | MS_BIND), _MOUNT),
    "mount a tmpfs": attempt(mounts(b"t", "/tmp", b"tmpfs"), _MOUNT),  # noqa: S108 - a mount point
    "mount a /proc": attempt(mounts(b"p", "/tmp", b"proc"), _MOUNT),  # noqa: S108 - a mount point
    "mount a /sys": attempt(mounts(b"s", "/tmp", b"sysfs"), _MOUNT, HOSTS_RIGHTS),  # noqa: S108 - a mount point
    "mount debugfs": attempt(mounts(b"d", "/tmp", b"debugfs"), _MOUNT, HOSTS_RIGHTS),  # noqa: S108 - a mount point
    "bind one folder on another": attempt(mounts(b"/usr", "/tmp", b"", MS_BIND), _MOUNT),  # noqa: S108 - a mount point
    "mount an overlay": attempt(overlay, _MOUNT),
    "mount the host's cgroups": attempt(mount_cgroups, _MOUNT + " cgroup", HOSTS_RIGHTS),
    "unmount a mask of /proc": attempt(unmount_mask, _MOUNT),
    "make a mount writable": attempt(make_writable, _MOUNT + " views"),
    "clone a mount": attempt(calls("open_tree", HERE, b"/", 1), _MOUNT),
    "open a file system": attempt(calls("fsopen", b"tmpfs", 0), _MOUNT),
    "pick a mount's file system": attempt(calls("fspick", HERE, b"/tmp", 0), _MOUNT),
    "move a mount": attempt(reaches("move_mount", -1, b"", HERE, b"/tmp", 4), _MOUNT),
    "exchange the root": attempt(reaches("pivot_root", b"/nowhere", b"/nowhere"), _MOUNT),
    "change the root": attempt(lambda: os.chroot(workspace()), "seccomp rights"),
    "open a file by its handle": attempt(open_by_handle, "seccomp rights", HOSTS_RIGHTS),
    "watch the file system": attempt(calls("fanotify_init", 0x200, 0), "seccomp"),
    "change a quota": attempt(calls("quotactl", 0x800001 << 8, None, 0, None), "seccomp"),
    "write to a read-only page": attempt(write_through_read_only_memory, "impossible"),
    "write to a file through a pipe": attempt(splice_into_a_read_only_file, "impossible"),
    "use a descriptor of the host": attempt(find_open_folders, "descriptors"),
    "see another room's lock": attempt(sees_lock("{locked}"), "views"),
    "see another room's lock on a system file": attempt(sees_lock("{system_file}"), "views"),
    "see another room's record lock": attempt(see_record_lock, "views"),
    "see another room's lock on a device": attempt(sees_lock("/dev/null"), "views"),
    "see another room's lock on a kernel setting": attempt(sees_lock("{setting}"), "none"),
    "see another room's lock on a namespace": attempt(sees_lock("/proc/self/ns/time"), "none"),
    "see another room's lock on an event": attempt(lambda: lock(os.eventfd(0)), "none"),
    "lease a shared file": attempt(set_lease, "seccomp rights", HOSTS_RIGHTS),
    "be told what is done in a shared folder": attempt(notify, "seccomp"),
    "watch who opens a shared file": attempt(watches("{locked}"), "views"),
    "watch who runs a system program": attempt(watches("{system_file}"), "views"),
    "watch who opens a device": attempt(watches("/dev/null"), "views"),
    "watch who reads a kernel setting": attempt(watches("{setting}"), "none"),
}
"""Attempts on the file system, by name."""
