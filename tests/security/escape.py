"""`make escape`: make every attempt to escape, with its control, and write the tables of `docs/security.md`.

Root makes them as root and as an ordinary user. An ordinary user makes them as itself, and writes nothing.

`make escape SANDBOX=podman` makes those against a room in the rooms of another kind of sandbox, and writes nothing. The
controls stay those of bubblewrap.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.security import environment_escapes, escapes, gateway_escapes, limit_escapes
from tests.security.escape_table import DOCUMENT, Found, problems, proven, write
from tests.security.outside import Scene, scene
from tests.security.rooms import sealing_kind
from tests.security.user import as_user_with_python
from tests.support.ordinary_user import folder_of_an_ordinary_user

Maker = Callable[[Path], escapes.Outcomes]
KINDS = ("agent", "policy", "limits", "environment", "gateway")
"""Where attempts are made."""
ROOMS = ("agent", "policy", "limits")
"""Those that depend on the kind of sandbox."""
_ON_THE_HOST: dict[str, tuple[Maker, Maker]] = {
    "limits": (limit_escapes.sealed, limit_escapes.controls),
    "environment": (environment_escapes.sealed, environment_escapes.controls),
    "gateway": (gateway_escapes.sealed, gateway_escapes.controls),
}


def makers(kind: str) -> tuple[Maker, Maker]:
    """Return functions that make the attempts of one kind, and their controls, in an empty folder."""
    if kind in _ON_THE_HOST:
        return _ON_THE_HOST[kind]

    def made(how: Callable[[Scene, str], escapes.Outcomes], folder: Path) -> escapes.Outcomes:
        with scene(folder) as place:
            return how(place, kind)

    return partial(made, escapes.sealed), partial(made, escapes.controls)


def found_as(user: str, kind: str) -> Found:
    """Make the attempts of one kind, with the controls, as root or as an ordinary user."""
    outcomes = []
    for make in makers(kind):
        if user == "user":
            with folder_of_an_ordinary_user() as folder:
                folder.chmod(0o755)
                outcomes.append(as_user_with_python(partial(make, folder)))
        else:
            with TemporaryDirectory() as name:
                Path(name).chmod(0o755)
                outcomes.append(make(Path(name)))
    return Found(*outcomes)


def main() -> int:
    """Return the exit code: 0 if every attempt is held or known, and every control succeeds that can."""
    began = time.monotonic()
    users = ("root", "user") if os.geteuid() == 0 else ("user",)
    usual = sealing_kind() == "bubblewrap"
    parts = [(kind, user) for kind in (KINDS if usual else ROOMS) for user in users]
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        found = pool.map(found_as, [user for _, user in parts], [kind for kind, _ in parts])
        results = {}
        for (kind, user), part in zip(parts, found, strict=True):
            results[kind, user] = part
            held = sum(outcome.startswith("held") for outcome in part.sealed.values())
            seconds = time.monotonic() - began
            print(f"{kind}, {user}: {held} of {len(part.sealed)} held ({seconds:.0f} s)", flush=True)
    wrong = problems(results)
    print(*wrong, sep="\n")
    print(f"{len(proven(results))} attempts have a control that succeeds")
    if usual and len(users) == 2:
        write(results)
        print(f"written: {DOCUMENT.name}")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
