"""Writes the seccomp filters, `ARCHITECTURE.bpf` beside this file, from `calls.py` and `numbers.json`.

Run `python -m harness.sandbox.seccomp.generate` when either changes. `numbers.json` has the number of each named call,
as in the kernel's `asm/unistd_64.h` (x86_64) and `asm-generic/unistd.h` (aarch64).
"""

from __future__ import annotations

import errno
import json
import struct
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path

from harness.sandbox.seccomp.calls import ALLOW, ALLOWED, CHECKED, ERRNO, FORBIDDEN, CallRule, Check

ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
"""How the kernel names each architecture to a filter."""

KILL = 0x00000000
ABSENT = ERRNO | errno.ENOSYS
NUMBER, ARCHITECTURE, ARGUMENTS = 0, 4, 16
"""Where a filter finds the number of the call, the architecture, and the arguments of 8 bytes each."""
LOAD, AND, EQUAL, GREATER, RETURN = 0x20, 0x54, 0x15, 0x25, 0x06
LONGEST_JUMP = 255


def instruction(code: int, operand: int, if_true: int = 0, if_false: int = 0) -> bytes:
    """Return one instruction. The jumps count the instructions to skip."""
    if max(if_true, if_false) > LONGEST_JUMP:
        raise ValueError("a jump is too long: split the rule")
    return struct.pack("=HBBI", code, if_true, if_false, operand)


def words(test: Check) -> Iterator[tuple[int, tuple[int, ...], int]]:
    """Yield each 32-bit word that a test looks at: its offset, the values that pass, and the mask."""
    offset = ARGUMENTS + 8 * test.argument
    yield offset, test.values, test.mask
    if test.whole:
        yield offset + 4, (0,), 0xFFFFFFFF


def block(number: int, checked: CallRule) -> list[bytes]:
    """Return the instructions for one call whose arguments decide. Other calls skip them."""
    body: list[bytes] = []
    for answer, tests in reversed(checked.rules):
        steps = [instruction(RETURN, answer)]
        for offset, values, mask in reversed([word for test in tests for word in words(test)]):
            compare = [
                instruction(EQUAL, value, if_true=left, if_false=0 if left else len(steps))
                for value, left in zip(values, reversed(range(len(values))), strict=True)
            ]
            masked = [] if mask == 0xFFFFFFFF else [instruction(AND, mask)]
            steps = [instruction(LOAD, offset), *masked, *compare, *steps]
        body = [*steps, *body]
    body.append(instruction(RETURN, checked.otherwise))
    return [instruction(EQUAL, number, if_false=len(body)), *body]


def program(architecture: str) -> bytes:
    """Return the filter of one architecture. Calls of another one kill the caller (i386 on x86_64)."""
    numbers = known_numbers()[architecture]
    parts = [
        instruction(LOAD, ARCHITECTURE),
        instruction(EQUAL, ARCHITECTURES[architecture], if_true=1),
        instruction(RETURN, KILL),
        instruction(LOAD, NUMBER),
    ]
    for name, checked in CHECKED.items():
        if name in numbers:
            parts += block(numbers[name], checked)
    answers = {
        numbers[name]: answer
        for answer, groups in ((ALLOW, ALLOWED), (ERRNO | errno.EPERM, FORBIDDEN))
        for name in (name for names in groups.values() for name in names)
        if name in numbers
    }
    for answer, same in groupby(range(max(answers) + 1), lambda number: answers.get(number, ABSENT)):
        parts += [instruction(GREATER, max(same), if_true=1), instruction(RETURN, answer)]
    parts.append(instruction(RETURN, ABSENT))
    return b"".join(parts)


def known_numbers() -> Mapping[str, Mapping[str, int]]:
    """Return the number of each call by its name, for each architecture that has it."""
    numbers: dict[str, dict[str, int]] = json.loads(Path(__file__).with_name("numbers.json").read_text())
    return numbers


def main() -> None:
    """Write the filter of every architecture."""
    for architecture in ARCHITECTURES:
        path = Path(__file__).with_name(f"{architecture}.bpf")
        path.write_bytes(program(architecture))
        print(path.name, path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
