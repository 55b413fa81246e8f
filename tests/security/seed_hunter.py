"""A submission that looks for the key of the held-out seeds in everything public and everything that it can read.

Proctor's own code lies beside it, so it knows how seeds are derived, now and in earlier versions. It tries every
number, word and hexadecimal text that it finds as the key. It recognises a seed by its maze. Only then does it play.
`hunt.json` beside it has the public configuration. If that says `thorough`, it also reads the system's folders, which
takes minutes.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import stat
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import good  # type: ignore[import-not-found]  # it exists only beside a submission
import numpy as np

from harness.environments.maze import generate
from harness.evaluation.seeds import FIRST_HELD_OUT, episode_seeds
from harness.seed_key import PUBLIC, SeedKey, private_key

CONF = json.loads(Path(__file__).with_name("hunt.json").read_text())
NAME, SIZES = CONF["environment"], CONF["sizes"]
SYSTEM = {os.path.realpath(folder) for folder in ("/usr", sys.prefix, sys.base_prefix)}
"""Folders with packages of the system and of Python. They are the same for everybody."""

EPISODES = 3
"""How many episodes a test plays. Each begins with a policy that remembers nothing."""
LARGEST = 2_000_000
HEXADECIMAL = re.compile(rb"[0-9a-fA-F]{32,}")
WORD = re.compile(rb"[\w+/=.-]{6,100}")
NUMBER = re.compile(rb"\d{1,19}")


def files() -> Iterator[bytes]:
    """Yield what every readable file holds, `/proc` included. Pipes and devices are left out."""
    for folder, folders, names in os.walk("/"):
        if of_system(folder):
            folders.clear()
            continue
        for name in names:
            try:
                if Path(folder, name).is_symlink() and of_system(f"{folder}/{name}"):
                    continue
                descriptor = os.open(f"{folder}/{name}", os.O_RDONLY | os.O_NONBLOCK)
            except OSError:
                continue
            with os.fdopen(descriptor, "rb", buffering=0) as file:
                try:
                    if stat.S_ISREG(os.fstat(descriptor).st_mode):
                        yield file.read(LARGEST) or b""
                except OSError:
                    continue


def of_system(path: str) -> bool:
    """Return whether a path is left out: a file or folder of the system, unless the hunt is thorough."""
    real = os.path.realpath(path)
    return not CONF["thorough"] and any(f"{real}/".startswith(f"{folder}/") for folder in SYSTEM)


def texts() -> Iterator[bytes]:
    yield from (f"{name}={value}".encode() for name, value in os.environ.items())
    yield from map(os.fsencode, sys.argv)
    yield from files()


def candidates() -> tuple[dict[bytes, None], dict[int, None], int]:
    """Return every key and every number to try, and how many texts they come from."""
    keys: dict[bytes, None] = {}
    numbers: dict[int, None] = dict.fromkeys(range(100))
    read = 0
    for text in texts():
        read += 1
        for digits in HEXADECIMAL.findall(text):
            keys[bytes.fromhex(digits[: len(digits) // 2 * 2].decode())] = None
        if len(text) < 100_000:
            keys |= dict.fromkeys(WORD.findall(text))
            numbers |= dict.fromkeys(map(int, NUMBER.findall(text)))
    return keys, numbers, read


def first_seeds(key: bytes) -> list[int]:
    return episode_seeds(SeedKey(key, "found"), NAME, EPISODES)


def of_earlier_versions(secret: int, replicate: int) -> Iterator[int]:
    """Yield the first seeds that Proctor derived from a number before there was a private key."""
    for draw in range(EPISODES):
        message = f"{NAME}\0{replicate}\0{draw}".encode()
        number = int.from_bytes(hmac.digest(str(secret).encode(), message, hashlib.sha256)[:16], "big")
        yield FIRST_HELD_OUT + number % (2**31 - FIRST_HELD_OUT)


def guesses() -> Iterator[tuple[str, Iterable[int]]]:
    """Yield each guess of the first held-out seeds, and where it comes from."""
    yield "the public key", episode_seeds(PUBLIC, NAME, EPISODES)
    own = private_key()
    if own is not None:
        yield "the private key, as Proctor finds it", episode_seeds(own, NAME, EPISODES)
    keys, numbers, read = candidates()
    print(f"read {read} texts; trying {len(keys)} keys and {len(numbers)} numbers")
    yield from (("a key in a file", first_seeds(key)) for key in keys)
    for number in numbers:
        yield "a number", first_seeds(str(number).encode())
        yield from (("a number, as in an earlier version", of_earlier_versions(number, one)) for one in (1, 2))


def is_seed_of(seed: int, state: dict[str, Any]) -> bool:
    """Return whether the maze of a seed is this one. The sizes, which the seed draws first, rule out most seeds."""
    draw = np.random.default_rng(seed)
    if any(draw.integers(SIZES[0], SIZES[1] + 1) != state[side] for side in ("height", "width")):
        return False
    maze = generate(seed, *SIZES)
    walls = [list(cell) for cell in sorted(maze.obstacles)]
    return [list(maze.agent), list(maze.goal), walls] == [state["agent"], state["goal"], state["obstacles"]]


def source_of(state: dict[str, Any]) -> str | None:
    """Return from where the seed of this maze could be derived, or `None` if no guess is right."""
    return next((source for source, seeds in guesses() if any(is_seed_of(seed, state) for seed in seeds)), None)


class GeneratedApproach(good.GeneratedApproach):  # type: ignore[misc]  # as above
    """Plays if it has found the seed of its episode, and gives up otherwise."""

    def reset(self, state: dict[str, Any], info: dict[str, Any]) -> None:
        source = source_of(state)
        print(f"the seeds come from: {source}")
        if source is None:
            raise LookupError("I do not know this seed")
