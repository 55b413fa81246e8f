"""The decisions of the stored system-call filters on both architectures. The tests run their bytes like the kernel."""

from __future__ import annotations

import errno
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.sandbox import seccomp
from harness.sandbox.seccomp.calls import ALLOWED as LISTED
from harness.sandbox.seccomp.calls import CHECKED, FORBIDDEN
from harness.sandbox.seccomp.generate import known_numbers, program

FILTERS = Path(seccomp.__file__).parent
ALLOW, KILL, ERRNO = 0x7FFF0000, 0x00000000, 0x00050000
AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
NUMBERS = {
    architecture: {**numbers, "io_uring_setup": 425, "clone3": 435, "openat2": 437, "memfd_secret": 447, "next": 999}
    for architecture, numbers in known_numbers().items()
}
NUMBERS["x86_64"] |= {"shmget": 29, "semget": 64, "msgget": 68, "mq_open": 240, "sync": 162}
NUMBERS["aarch64"] |= {"shmget": 194, "semget": 190, "msgget": 186, "mq_open": 180, "sync": 81}
for _numbers in NUMBERS.values():
    _numbers["fchmodat2"] = 452

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
    ("memfd_secret", (), errno.ENOSYS),
    ("userfaultfd", (), errno.EPERM),
    ("mbind", (), errno.EPERM),
    *((name, (), errno.ENOSYS) for name in ("shmget", "semget", "msgget", "mq_open", "sync")),
    ("personality", (0x0040000,), errno.EPERM),
    ("prctl", (35,), errno.EINVAL),  # PR_SET_MM
    ("prctl", (33,), errno.EINVAL),  # PR_MCE_KILL
    ("prlimit64", (1, 0), errno.EPERM),
    *(("fcntl", (0, command), errno.EINVAL) for command in (1024, 1025, 1026)),  # leases and F_NOTIFY
    ("ioctl", (0, 0x5423), errno.ENOTTY),  # TIOCSETD
    ("ioctl", (0, 0x8914), errno.ENOTTY),  # SIOCSIFFLAGS
    ("ioctl", (0, 0x40086602), errno.ENOTTY),  # FS_IOC_SETFLAGS
    *(("clone", (flag | 17,), errno.EPERM) for flag in (0x00020000, 0x10000000, 0x20000000, 0x40000000)),
    ("clone", (0x10000000 | 1 << 40,), errno.EPERM),
    ("ioctl", (0, 0x5412), errno.EPERM),
    ("ioctl", (0, 0x5412 | 1 << 32), errno.EPERM),
    ("ioctl", (0, 0x541C), errno.EPERM),
    *(("socket", (family, 1, 0), errno.EAFNOSUPPORT) for family in (3, 9, 15, 17, 38, 40, 40 | 1 << 32, 2 | 1 << 32)),
    *(("socket", (16, 3, protocol), errno.EAFNOSUPPORT) for protocol in (0, 9)),
    *(
        ("socket", (family, 1, protocol), errno.EPROTONOSUPPORT)
        for family in (2, 10)
        for protocol in (1, 136, 262, 255)
    ),
    ("socketpair", (16, 3, 0), errno.EAFNOSUPPORT),
    ("fchmodat", (0, 0, 0o4755), errno.EPERM),
    ("fchmodat", (0, 0, 0o2755), errno.EPERM),
    ("openat", (0, 0, 0o101, 0o4755), errno.EPERM),
    ("openat", (0, 0, 0o20200001, 0o4755), errno.EPERM),  # O_TMPFILE
]
ALLOWED = [
    ("read", ()),
    ("execve", ()),
    ("setuid", ()),
    ("clone", (0x003D0F00,)),
    ("ioctl", (0, 0x5401)),
    *(("socket", (family, 1, 0)) for family in (1, 2, 10)),
    *(("socket", (family, 1, protocol)) for family in (2, 10) for protocol in (6, 17)),
    ("socketpair", (1, 1, 0)),
    ("personality", (0xFFFFFFFF,)),
    *(("fcntl", (0, command)) for command in (0, 4, 6, 37, 1030, 1031, 1033)),  # copies, flags, locks, pipes, seals
    ("prctl", (15,)),
    ("prlimit64", (0, 7)),
    ("ioctl", (0, 0x5413)),
    ("fchmodat", (0, 0, 0o1777)),
    ("openat", (0, 0, 0, 0o4755)),
    ("openat", (0, 0, 0o101, 0o755)),
]


def decide(stored: bytes, arch: int, number: int, arguments: tuple[int, ...]) -> int:
    """Run classic BPF, as far as seccomp filters use it. Return the filter's answer."""
    data = struct.pack("=IIQ6Q", number, arch, 0, *arguments, *[0] * (6 - len(arguments)))
    accumulator, at = 0, 0
    while True:
        code, if_true, if_false, operand = struct.unpack_from("=HBBI", stored, at * 8)
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


def decision(machine: str, number: int, arguments: tuple[int, ...]) -> int:
    return decide((FILTERS / f"{machine}.bpf").read_bytes(), AUDIT_ARCH[machine], number, arguments)


def answer(machine: str, call: str, arguments: tuple[int, ...]) -> int:
    return decision(machine, NUMBERS[machine][call], arguments)


@pytest.mark.parametrize(("call", "arguments", "error"), REFUSED)
def test_dangerous_calls_are_refused(machine: str, call: str, arguments: tuple[int, ...], error: int) -> None:
    assert answer(machine, call, arguments) == ERRNO | error


@pytest.mark.parametrize(("call", "arguments"), ALLOWED)
def test_ordinary_calls_are_allowed(machine: str, call: str, arguments: tuple[int, ...]) -> None:
    assert answer(machine, call, arguments) == ALLOW


def test_a_call_of_another_architecture_kills(machine: str) -> None:
    assert decide((FILTERS / f"{machine}.bpf").read_bytes(), 0x40000003, 1, ()) == KILL


def test_calls_of_the_x32_abi_do_not_exist() -> None:
    assert decision("x86_64", 0x40000000 | 101, ()) == ERRNO | errno.ENOSYS


def test_the_stored_filter_is_the_one_that_the_list_of_calls_makes(machine: str) -> None:
    assert (FILTERS / f"{machine}.bpf").read_bytes() == program(machine)


def named(groups: dict[str, tuple[str, ...]], machine: str) -> list[int]:
    numbers = known_numbers()[machine]
    return [numbers[name] for names in groups.values() for name in names if name in numbers]


def test_each_call_of_the_list_is_answered_as_the_list_says(machine: str) -> None:
    assert {decision(machine, number, ()) for number in named(LISTED, machine)} == {ALLOW}
    assert {decision(machine, number, ()) for number in named(FORBIDDEN, machine)} == {ERRNO | errno.EPERM}


def test_no_call_is_in_two_lists() -> None:
    names = [name for groups in (LISTED, FORBIDDEN) for group in groups.values() for name in group]
    assert len({*names, *CHECKED}) == len(names) + len(CHECKED)


@given(machine=st.sampled_from(sorted(NUMBERS)), number=st.integers(0, 2**32 - 1) | st.integers(0, 600))
def test_a_call_that_no_list_names_does_not_exist(machine: str, number: int) -> None:
    if number not in known_numbers()[machine].values():
        assert decision(machine, number, ()) == ERRNO | errno.ENOSYS


@given(
    machine=st.sampled_from(sorted(NUMBERS)),
    flags=st.integers(0, 2**64 - 1),
    mode=st.integers(0, 2**64 - 1),
)
def test_no_open_makes_a_setuid_file(machine: str, flags: int, mode: int) -> None:
    makes = flags & (0o100 | 0o20000000) and mode & 0o6000
    assert (answer(machine, "openat", (0, 0, flags, mode)) == ALLOW) == (not makes)


@given(machine=st.sampled_from(sorted(NUMBERS)), family=st.integers(0, 2**64 - 1) | st.integers(0, 50))
def test_no_socket_of_another_family_opens(machine: str, family: int) -> None:
    assert (answer(machine, "socket", (family, 1, 0)) == ALLOW) == (family in {1, 2, 10})


@given(machine=st.sampled_from(sorted(NUMBERS)), request=st.integers(0, 2**64 - 1))
def test_a_request_of_a_device_is_known_by_its_lower_word(machine: str, request: int) -> None:
    assert answer(machine, "ioctl", (0, request)) == answer(machine, "ioctl", (0, request & 0xFFFFFFFF))
