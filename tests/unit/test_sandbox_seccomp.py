"""The decisions of the stored system-call filters on both architectures. The tests run their bytes like the kernel."""

from __future__ import annotations

import errno
import struct
from pathlib import Path

import pytest

import harness.sandbox

FILTERS = Path(harness.sandbox.__file__).parent / "seccomp"
ALLOW, KILL, ERRNO = 0x7FFF0000, 0x00000000, 0x00050000
AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
NUMBERS = {
    "x86_64": {
        "read": 0, "mkdir": 83, "chmod": 90, "socket": 41, "clone": 56, "openat": 257, "ioctl": 16, "ptrace": 101,
        "mount": 165, "unshare": 272, "keyctl": 250, "bpf": 321, "fchmodat": 268, "setuid": 105, "execve": 59,
    },
    "aarch64": {
        "read": 63, "socket": 198, "clone": 220, "openat": 56, "ioctl": 29, "ptrace": 117, "mount": 40,
        "unshare": 97, "keyctl": 219, "bpf": 280, "fchmodat": 53, "setuid": 146, "execve": 221,
    },
}  # fmt: skip # a table reads better than one call a line
for _numbers in NUMBERS.values():  # system calls from 424 on have the same number everywhere
    _numbers |= {
        "io_uring_setup": 425,
        "clone3": 435,
        "openat2": 437,
        "pidfd_getfd": 438,
        "fchmodat2": 452,
        "next": 999,
    }

REFUSED = [
    ("ptrace", (), errno.EPERM),
    ("mount", (), errno.EPERM),
    ("unshare", (), errno.EPERM),
    ("keyctl", (), errno.EPERM),
    ("bpf", (), errno.EPERM),
    ("pidfd_getfd", (), errno.EPERM),
    ("io_uring_setup", (), errno.ENOSYS),
    ("clone3", (), errno.ENOSYS),
    ("openat2", (), errno.ENOSYS),
    ("fchmodat2", (), errno.ENOSYS),
    ("next", (), errno.ENOSYS),
    *(("clone", (flag | 17,), errno.EPERM) for flag in (0x00020000, 0x10000000, 0x20000000, 0x40000000)),
    ("clone", (0x10000000 | 1 << 40,), errno.EPERM),
    ("ioctl", (0, 0x5412), errno.EPERM),
    ("ioctl", (0, 0x5412 | 1 << 32), errno.EPERM),
    ("ioctl", (0, 0x541C), errno.EPERM),
    *(("socket", (family, 1, 0), errno.EAFNOSUPPORT) for family in (3, 9, 15, 17, 38, 40, 40 | 1 << 32, 2 | 1 << 32)),
    ("socket", (16, 3, 9), errno.EAFNOSUPPORT),
    ("fchmodat", (0, 0, 0o4755), errno.EPERM),
    ("fchmodat", (0, 0, 0o2755), errno.EPERM),
    ("openat", (0, 0, 0o101, 0o4755), errno.EPERM),
]
ALLOWED = [
    ("read", ()),
    ("execve", ()),
    ("setuid", ()),
    ("clone", (0x003D0F00,)),
    ("ioctl", (0, 0x5401)),
    *(("socket", (family, 1, 0)) for family in (1, 2, 10)),
    ("socket", (16, 3, 0)),
    ("fchmodat", (0, 0, 0o1777)),
    ("openat", (0, 0, 0, 0o4755)),
    ("openat", (0, 0, 0o101, 0o755)),
]


def decide(program: bytes, arch: int, number: int, arguments: tuple[int, ...]) -> int:
    """Run classic BPF, as far as seccomp filters use it. Return the filter's answer."""
    data = struct.pack("=iIQ6Q", number, arch, 0, *arguments, *[0] * (6 - len(arguments)))
    accumulator, at = 0, 0
    while True:
        code, if_true, if_false, operand = struct.unpack_from("=HBBI", program, at * 8)
        at += 1
        match code:
            case 0x20:
                (accumulator,) = struct.unpack_from("=I", data, operand)
            case 0x54:
                accumulator &= operand
            case 0x05:
                at += operand
            case 0x15:
                at += if_true if accumulator == operand else if_false
            case 0x25:
                at += if_true if accumulator > operand else if_false
            case 0x35:
                at += if_true if accumulator >= operand else if_false
            case 0x06:
                return int(operand)
            case _:
                raise AssertionError(f"no such instruction: {code:#x}")


@pytest.fixture(params=sorted(NUMBERS))
def machine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def answer(machine: str, call: str, arguments: tuple[int, ...]) -> int:
    program = (FILTERS / f"{machine}.bpf").read_bytes()
    return decide(program, AUDIT_ARCH[machine], NUMBERS[machine][call], arguments)


@pytest.mark.parametrize(("call", "arguments", "error"), REFUSED)
def test_dangerous_calls_are_refused(machine: str, call: str, arguments: tuple[int, ...], error: int) -> None:
    assert answer(machine, call, arguments) == ERRNO | error


@pytest.mark.parametrize(("call", "arguments"), ALLOWED)
def test_ordinary_calls_are_allowed(machine: str, call: str, arguments: tuple[int, ...]) -> None:
    assert answer(machine, call, arguments) == ALLOW


def test_a_call_of_another_architecture_kills(machine: str) -> None:
    program = (FILTERS / f"{machine}.bpf").read_bytes()
    assert decide(program, 0x40000003, 1, ()) == KILL


def test_calls_of_the_x32_abi_do_not_exist() -> None:
    program = (FILTERS / "x86_64.bpf").read_bytes()
    assert decide(program, AUDIT_ARCH["x86_64"], 0x40000000 | 101, ()) == ERRNO | errno.ENOSYS
