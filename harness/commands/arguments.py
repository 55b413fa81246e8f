"""Reads the arguments that several commands take."""

from __future__ import annotations

import argparse
import re
from datetime import timedelta

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 24 * 3600}
_HOURS = {"h": 1, "d": 24, "w": 7 * 24}
_BYTES = {"b": 1} | {
    f"{prefix}{unit}": base**power
    for unit, base in (("b", 1000), ("ib", 1024))
    for power, prefix in enumerate("kmgt", 1)
}


def age(text: str) -> timedelta:
    """Return the time that a text such as `30d` names, in hours, days or weeks. Raise `ArgumentTypeError`."""
    found = re.fullmatch(r"([0-9]{1,6})\s*([hdw])", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not an age such as 12h, 30d or 8w")
    return timedelta(hours=int(found[1]) * _HOURS[found[2]])


def size(text: str) -> int:
    """Return the bytes that a text such as `5GB` or `1.5 GiB` names. Raise `ArgumentTypeError`."""
    found = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*([a-z]+)", text.lower())
    if found is None or found[2] not in _BYTES:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 500MB, 5GB or 2GiB")
    return int(float(found[1]) * _BYTES[found[2]])


def number_of_runs(text: str) -> int:
    """Return the number of runs that a text names, 1 or more. Raise `ArgumentTypeError`."""
    if not (text.isascii() and text.isdigit() and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of runs, such as 7")
    return int(text)


def walltime(text: str) -> float:
    """Return the seconds that a text such as `12h`, `90m` or `2-00:00:00` names. Raise `ArgumentTypeError`."""
    plain = re.fullmatch(r"([0-9]{1,6})([smhd])", text)
    if plain is not None:
        seconds = int(plain[1]) * _SECONDS[plain[2]]
    else:
        clock = re.fullmatch(r"(?:([0-9]{1,4})-)?([0-9]{1,4}):([0-5]?[0-9]):([0-5]?[0-9])", text)
        if clock is None:
            raise argparse.ArgumentTypeError(f"{text!r} is not a time such as 90m, 12h, 12:00:00 or 2-00:00:00")
        days, hours, minutes, rest = (int(one or 0) for one in clock.groups())
        seconds = ((days * 24 + hours) * 60 + minutes) * 60 + rest
    if not seconds:
        raise argparse.ArgumentTypeError(f"{text!r} is no time at all")
    return float(seconds)


def at_least_one(text: str) -> int:
    """Return the number that a text names, 1 or more. Raise `ArgumentTypeError`."""
    if not (text.isascii() and text.isdigit() and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 on")
    return int(text)
