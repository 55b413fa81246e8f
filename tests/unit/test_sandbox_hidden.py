"""Paths that a box leaves out of what it shows."""

from __future__ import annotations

import json
from pathlib import Path

from tests.security.user import as_user_with_python
from tests.support.ordinary_user import folder_of_an_ordinary_user
from tests.support.sandboxes import PYTHON, bubblewrap, finish, python, request

LOOK = """
import json, os, sys
top = sys.argv[1]
seen = sorted(os.path.relpath(os.path.join(folder, name), top)
              for folder, folders, files in os.walk(top) for name in (*folders, *files))
try:
    open(os.path.join(top, "lib/new"), "w")
except OSError as error:
    seen.append(error.strerror)
print(json.dumps(seen))
"""


def written(folder: Path) -> Path:
    shown = folder / "shown"
    for name in ("lib/kept/one.py", "lib/gone/two.py", "lib/gone/again.py", "lib/deep/gone.py", "lib/deep/kept.py"):
        (shown / name).parent.mkdir(parents=True, exist_ok=True)
        (shown / name).write_text(name)
    (shown / "lib/link").symlink_to("kept/one.py")
    (shown / "lib/to_gone").symlink_to("gone")
    return shown


def seen(folder: Path) -> list[str]:
    """Return what a box shows of a folder in which some paths are hidden, and the error of writing there."""
    shown = written(folder)
    hidden = (*(shown / name for name in ("lib/gone", "lib/deep/gone.py", "lib/missing")), Path("/nowhere/else"))
    readable = (*PYTHON.readable, shown, shown / "lib/gone/again.py")
    with bubblewrap().open(request(folder / "box", readable=readable, hidden=hidden)) as box:
        code, output = finish(box, python(LOOK, str(shown)))
    assert code == 0, (folder / "box/stderr").read_text()
    found: list[str] = json.loads(output)
    return found


EXPECTED = [
    *("lib", "lib/deep", "lib/deep/kept.py", "lib/gone", "lib/gone/again.py"),
    *("lib/kept", "lib/kept/one.py", "lib/link", "lib/to_gone", "Read-only file system"),
]


def test_a_hidden_path_is_gone_with_its_name_and_everything_else_is_there(tmp_path: Path) -> None:
    assert seen(tmp_path) == EXPECTED


def test_it_is_the_same_for_an_ordinary_user() -> None:
    with folder_of_an_ordinary_user() as folder:
        assert as_user_with_python(lambda: seen(folder)) == EXPECTED
