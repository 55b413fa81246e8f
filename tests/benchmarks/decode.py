"""Compares reading a stream (lines, decode, fold) with plain `json.loads` of its lines, on 100 MB for each backend.

The sessions are invented, in the shapes of each CLI's streams. Each has 50 turns. A turn has a text, a call that writes
or edits a file or runs a command, and its output. Files and outputs are pieces of this project's source, so they have
as many quotes, line breaks and spaces as the files that agents read. The length of an output is log-normal (median
1.1 KB, one in a hundred at 30 KB, where the CLIs cut it). Both readers get their lines from the same `LineSplitter`.
"""

from __future__ import annotations

import itertools
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import psutil

from backends.events import Usage
from backends.registry import backend, names
from harness.agent.stream import LineSplitter
from harness.commands.decode import CHUNK, read_session
from tests.properties.grammar import Call, Script, Turn, grammar

SIZE = 100_000_000
_ROUNDS = 7
_SESSION = 50
_ROOT = Path(__file__).parents[2]
_SOURCES = "".join(path.read_text() for path in sorted((_ROOT / "harness").rglob("*.py")))
_LONGEST_OUTPUT = 30_000


class Cost(msgspec.Struct):
    """The CPU seconds of the two readers (the least of some rounds), and the growth of the peak memory by reading."""

    bytes: int
    tool_calls: int
    json_s: float
    read_s: float
    growth_mb: float


def turns(random_: random.Random) -> Iterator[Turn]:
    """Yield one turn after the other, forever."""

    def piece(length: int) -> str:
        start = random_.randrange(len(_SOURCES) - _LONGEST_OUTPUT)
        return _SOURCES[start : start + length]

    number = 0
    while True:
        number += 1
        name = ("bash", "write", "bash", "edit")[number % 4]
        call = Call(
            id=f"call_{number}",
            name=name,
            command="" if name != "bash" else "cd /sandbox/workspace && timeout 60 python3 approach.py 2>&1 | tail -40",
            content=piece(random_.randrange(20, 5000)),
            output=piece(min(_LONGEST_OUTPUT, int(random_.lognormvariate(7, 1.5)))),
        )
        usage = Usage(input_tokens=1000 + number, output_tokens=50, cache_read_tokens=7)
        yield Turn(id=f"msg_{number}", text=piece(random_.randrange(50, 600)), calls=(call,), usage=usage)


def write_stream(name: str, path: Path, size: int) -> int:
    """Write a stream of backend `name` of about `size` bytes. Return the numbers of its turns and of its tool calls."""
    written, endless = 0, turns(random.Random(1))  # noqa: S311 - made-up text, no secret
    with path.open("wb") as file:
        while file.tell() < size:
            script = Script(turns=tuple(itertools.islice(endless, _SESSION)))
            file.writelines(line + b"\n" for line in grammar(name).lines(script))
            written += _SESSION
    return written


def measure(name: str, path: Path) -> Cost:
    """Read the stream with the two readers in turn. The memory is that of this process."""
    Path("/proc/self/clear_refs").write_text("5")  # resets the high-water mark, which imports have raised
    before = psutil.Process().memory_info().rss / 1e6
    read_s = [_cpu(lambda: _read(name, path))]
    json_s = []
    growth_mb = _peak_mb() - before
    for _ in range(_ROUNDS):
        json_s.append(_cpu(lambda: _json(path)))
        read_s.append(_cpu(lambda: _read(name, path)))
    return Cost(
        bytes=path.stat().st_size,
        tool_calls=_read(name, path),
        json_s=min(json_s),
        read_s=min(read_s),
        growth_mb=growth_mb,
    )


def _read(name: str, path: Path) -> int:
    with path.open("rb") as stream:
        return read_session(backend(name), stream).tool_calls


def _json(path: Path) -> None:
    lines = LineSplitter()
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            for line in lines.feed(chunk):
                json.loads(line.data)


def _cpu(work: Callable[[], object]) -> float:
    before = time.process_time()
    work()
    return time.process_time() - before


def _peak_mb() -> float:
    """Return the high-water mark of this process since its last reset, from /proc/self/status, in MB."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6


def main() -> None:
    """Print, for each backend, the two speeds, their ratio, and the growth of the peak memory."""
    print(f"reading a stream of {SIZE / 1e6:.0f} MB (CPU time, least of {_ROUNDS} rounds):")
    for name in names():
        with tempfile.TemporaryDirectory() as temporary:
            path = Path(temporary) / "stream.jsonl"
            expected = write_stream(name, path, SIZE)
            # A separate process, so that its peak memory comes from reading, not from writing.
            command = [sys.executable, "-m", "tests.benchmarks.decode", name, str(path)]
            done = subprocess.run(command, cwd=_ROOT, check=True, stdout=subprocess.PIPE)
        cost = msgspec.json.decode(done.stdout, type=Cost)
        if cost.tool_calls != expected:
            raise SystemExit(f"{name}: read {cost.tool_calls} tool calls of {expected}")
        print(
            f"  {name:9} json.loads {cost.bytes / cost.json_s / 1e6:4.0f} MB/s, decode and fold "
            f"{cost.bytes / cost.read_s / 1e6:4.0f} MB/s: {cost.json_s / cost.read_s:.2f} x, "
            f"peak memory {cost.growth_mb:+.1f} MB"
        )


if __name__ == "__main__":
    if len(sys.argv) == 3:
        sys.stdout.write(msgspec.json.encode(measure(sys.argv[1], Path(sys.argv[2]))).decode())
    else:
        main()
