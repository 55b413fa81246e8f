"""What a run was begun with. A resumed run takes it from here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, field

from harness.malformed import MALFORMED
from harness.private import private_folder
from harness.results.durable import write_durably

BEGUN = "run.json"
"""The file with it, in the folder of the run."""


class Begun(Struct, frozen=True, kw_only=True):
    """What a run was begun with.

    `options` are the values of Proctor's options, by name. `configuration` is what the cases were made of: a flat
    mapping of keys such as `limits.turns`, with digests for long texts. `tests` maps each test that uses a session to
    the name of the session's folder.
    """

    schema: int = 1
    options: dict[str, Any] = field(default_factory=dict)
    configuration: dict[str, Any] = field(default_factory=dict)
    tests: dict[str, str] = field(default_factory=dict)


def write_begun(run: Path, begun: Begun) -> None:
    """Write the file, durably: without it, the run cannot be resumed. Raise `OSError` if that is not possible."""
    private_folder(run)
    write_durably(run / BEGUN, [msgspec.json.format(msgspec.json.encode(begun)), b"\n"])


def read_begun(run: Path) -> Begun | None:
    """Return what the run was begun with, or `None` if an older version or `proctor merge` made it.

    Raise `OSError` if the file cannot be read, and `ValueError` with its name if it is damaged.
    """
    path = run / BEGUN
    try:
        return msgspec.json.decode(path.read_bytes(), type=Begun)
    except FileNotFoundError:
        return None
    except MALFORMED as error:
        raise ValueError(f"{path}: {error}") from error


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return each key whose value differs, with both values. If one side lacks the key, it has `nothing` there."""
    keys = sorted(key for key in {*then, *now} if key not in then or key not in now or then[key] != now[key])
    return [f"{key}: {_shown(then, key)} then, {_shown(now, key)} now" for key in keys]


def _shown(values: Mapping[str, Any], key: str) -> str:
    return msgspec.json.encode(values[key]).decode() if key in values else "nothing"
