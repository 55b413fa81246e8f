"""Shows the changes of a file as lines of a diff."""

from __future__ import annotations

from difflib import SequenceMatcher

DiffLine = tuple[str, str]
"""A sign (`+`, `-`, ` ` or `@` for lines left out) and the text of the line."""

CONTEXT = 3
"""How many unchanged lines are shown around a change."""

_MOST_LINES = 3000
"""Beyond this many lines, both texts are shown whole, without looking for what they share."""


def diff_lines(before: str, after: str) -> list[DiffLine]:
    """Return the lines of a diff between two texts. They are empty if the texts are equal."""
    old, new = before.splitlines(), after.splitlines()
    if before == after:
        return []
    if len(old) + len(new) > _MOST_LINES:
        return [*(("-", line) for line in old), *(("+", line) for line in new)]
    groups = list(SequenceMatcher(None, old, new, autojunk=False).get_grouped_opcodes(CONTEXT))
    found: list[DiffLine] = []
    for number, group in enumerate(groups):
        if number:
            found.append(("@", f"{group[0][1] - groups[number - 1][-1][2]} lines"))
        for tag, i1, i2, j1, j2 in group:
            found += [(" ", line) for line in old[i1:i2]] if tag == "equal" else []
            found += [("-", line) for line in old[i1:i2]] if tag in {"replace", "delete"} else []
            found += [("+", line) for line in new[j1:j2]] if tag in {"replace", "insert"} else []
    return found


def patch_lines(patch: str) -> list[DiffLine]:
    """Return the lines of a patch that is already one."""
    return [(line[:1], line[1:]) if line[:1] in {"+", "-"} else (" ", line) for line in patch.splitlines()]
