"""Makes paths of the host vanish from a box that shows the folders around them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path


def without(hidden: Iterable[Path], shown: Iterable[Path], again: Iterable[Path]) -> Iterator[str]:
    """Yield options for bubblewrap that leave `hidden` paths out of what a box shows, with their names.

    `shown` are the places that the box shows so far, without links. A path outside of them is passed over. Each folder
    that holds a hidden path is made anew, with everything else in it. `again` are files that the box shows although
    they lie in a hidden folder.
    """
    places = tuple(shown)
    gone = {each for path in hidden for each in _names(path) if any(each.is_relative_to(place) for place in places)}
    folders = sorted({path.parent for path in gone if gone.isdisjoint(path.parents)})
    for folder in folders:
        yield from ("--perms", "0755", "--tmpfs", str(folder))
        for path in sorted(folder.iterdir()):
            if path not in gone:
                yield from _shown(path)
    for path in again:
        above = [parent for parent in reversed(path.parents) if not gone.isdisjoint((parent, *parent.parents))]
        if above:
            for parent in above:
                yield from ("--perms", "0755", "--dir", str(parent))
            yield from _shown(path)
    for folder in folders:
        yield from ("--remount-ro", str(folder))


def _names(path: Path) -> tuple[Path, ...]:
    """Return the path without links above it, and what it leads to if it is a link itself. Nothing if it is missing."""
    try:
        return (path.parent.resolve(strict=True) / path.name, path.resolve(strict=True))
    except OSError:
        return ()


def _shown(path: Path) -> tuple[str, str, str]:
    if path.is_symlink():
        return ("--symlink", str(path.readlink()), str(path))
    return ("--ro-bind", str(path), str(path))
