"""Runs inside a box: takes more memory or disk than the box may have, in a way that is hard to see from outside.

`python limit_attacks.py NAME MB` writes a line when it has begun, and takes about MB megabytes unless it is stopped.
It needs only the standard library.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

MB = 1 << 20
STEP = 2
KEPT: list[object] = []
_MAP_NORESERVE = 0x4000  # Linux; newer Pythons have it in mmap


def fill(file: int, megabytes: int) -> None:
    for _ in range(megabytes):
        os.write(file, b"x" * MB)


def made(name: str, megabytes: int = STEP) -> int:
    file = os.open(name, os.O_CREAT | os.O_RDWR)
    fill(file, megabytes)
    return file


def unlinked(name: str) -> int:
    file = os.open(name, os.O_CREAT | os.O_RDWR)
    Path(name).unlink()
    fill(file, STEP)
    return file


def use_memory_files(steps: int) -> None:
    for _ in range(steps):
        fill(os.memfd_create("x"), STEP)


def use_mapped_memory_files(steps: int) -> None:
    for _ in range(steps):
        file = os.memfd_create("x")
        fill(file, STEP)
        KEPT.append(mmap.mmap(file, STEP * MB))
        os.close(file)


def use_temporary_folders(steps: int) -> None:
    for number in range(steps):
        os.close(made(f"{('/tmp', '/dev/shm')[number % 2]}/{number}"))  # noqa: S108 - the box's own


def use_shared_segments(steps: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.shmat.restype = ctypes.c_void_p
    for _ in range(steps):
        segment = libc.shmget(0, ctypes.c_size_t(STEP * MB), 0o1600)
        if segment < 0:
            raise OSError(ctypes.get_errno(), "shmget")
        place = libc.shmat(segment, None, 0)
        ctypes.memset(place, 1, STEP * MB)
        libc.shmdt(ctypes.c_void_p(place))


def use_many_processes(steps: int) -> None:
    for _ in range(4):
        if os.fork() == 0:
            KEPT.extend(bytearray(STEP * MB) for _ in range(steps // 4))
            time.sleep(60)
            os._exit(0)


def use_unlinked_files(steps: int) -> None:
    for number in range(steps):
        unlinked(f"u{number}")


def use_mapped_unlinked_files(steps: int) -> None:
    for number in range(steps):
        file = unlinked(f"u{number}")
        KEPT.append(mmap.mmap(file, STEP * MB))
        os.close(file)


def use_files_in_messages(steps: int) -> None:
    near, far = socket.socketpair()
    KEPT.append(far)
    for number in range(steps):
        file = unlinked(f"u{number}")
        socket.send_fds(near, [b"x"], [file])
        os.close(file)


def use_closed_folders(steps: int) -> None:
    for number in range(steps):
        Path(f"d{number}").mkdir()
        os.close(made(f"d{number}/file"))
        Path(f"d{number}").chmod((0, 0o300)[number % 2])


def use_moving_folders(steps: int) -> None:
    for name in ("a", "b"):
        Path(name).mkdir()

    def move() -> None:
        while True:
            for here, there in (("a", "b"), ("b", "a")):
                for folder in Path(here).iterdir():
                    folder.rename(f"{there}/{folder.name}")

    threading.Thread(target=move, daemon=True).start()
    for number in range(steps):
        Path(f"new{number}").mkdir()
        os.close(made(f"new{number}/file"))
        Path(f"new{number}").rename(f"a/{number}")


def use_reserved_space(steps: int) -> None:
    for number in range(steps):
        file = os.open(f"f{number}", os.O_CREAT | os.O_RDWR)
        os.posix_fallocate(file, 0, STEP * MB)
        os.close(file)


def use_empty_files(_steps: int) -> None:
    for number in range(60_000):
        os.close(os.open(f"{number}", os.O_CREAT | os.O_WRONLY))


def use_processes(_steps: int) -> None:
    for _ in range(60):
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)


def use_tcp_sockets(steps: int) -> None:
    """Fill connections that nobody reads, in as many processes as it takes."""
    sent = 0
    while sent < steps * STEP * MB:
        try:
            server = socket.create_server(("127.0.0.1", 0))
            near = socket.create_connection(server.getsockname())
            far, _ = server.accept()
        except OSError as error:
            if error.errno != errno.EMFILE or os.fork():
                raise
            for each in KEPT:  # the parent keeps them open
                each.close()  # type: ignore[attr-defined]
            KEPT.clear()
            continue
        server.close()
        KEPT.extend((near, far))
        for end in (near, far):
            end.setblocking(False)
            with suppress(BlockingIOError):
                while True:
                    sent += end.send(b"x" * (MB // 16))


def use_udp_sockets(steps: int) -> None:
    packet = b"x" * 60_000
    for _ in range(steps * STEP * 5):  # each holds 0.2 MB
        end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        end.bind(("127.0.0.1", 0))
        KEPT.append(end)
        for _ in range(4):
            end.sendto(packet, end.getsockname())
    time.sleep(1)
    sys.exit()


def use_page_tables(steps: int) -> None:
    """Read one empty page in each 2 MB. They share a page of zeros, but each needs a page table."""
    area, apart = 1 << 36, 1 << 21
    for _ in range(steps * STEP * MB // (area // apart * mmap.PAGESIZE)):
        pages = mmap.mmap(-1, area, flags=mmap.MAP_PRIVATE | _MAP_NORESERVE, prot=mmap.PROT_READ)
        KEPT.append(pages)
        for place in range(0, area, apart):
            pages[place]


OF_THE_KERNEL: dict[str, Callable[[int], None]] = {
    "tcp sockets": use_tcp_sockets,
    "udp sockets": use_udp_sockets,
    "page tables": use_page_tables,
}
MEMORY: dict[str, Callable[[int], None]] = {
    "memory files": use_memory_files,
    "mapped memory files": use_mapped_memory_files,
    "temporary folders": use_temporary_folders,
    "shared segments": use_shared_segments,
    "many processes": use_many_processes,
}
DISK: dict[str, Callable[[int], None]] = {
    "unlinked files": use_unlinked_files,
    "mapped unlinked files": use_mapped_unlinked_files,
    "files in messages": use_files_in_messages,
    "closed folders": use_closed_folders,
    "moving folders": use_moving_folders,
    "reserved space": use_reserved_space,
    "empty files": use_empty_files,
}
PROCESSES: dict[str, Callable[[int], None]] = {"endless processes": use_processes}

if __name__ == "__main__":
    print("begun", flush=True)
    try:
        (MEMORY | OF_THE_KERNEL | DISK | PROCESSES)[sys.argv[1]](int(sys.argv[2]) // STEP)
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EAGAIN}:
            raise
        print("refused", file=sys.stderr, flush=True)
    else:
        print("taken", file=sys.stderr, flush=True)
    time.sleep(60)
