"""The report on the newest CLIs: one table of all, and what changed in each. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct


class Compared(Struct, frozen=True, kw_only=True):
    """A CLI's newest version against its pinned one. All lists are empty if nothing was found.

    `newest` is `None` if it cannot be installed; `fault` then says why. A `fault` besides says why it could not be
    tried. `clauses` are those of the contract that the newest version breaks. `shapes` are the event types and fields
    that came (`+`) or went (`-`). `request` is the difference in what the CLI sends its model, as a unified diff.
    """

    backend: str
    package: str
    pinned: str
    newest: str | None = None
    fault: str = ""
    clauses: Sequence[str] = ()
    shapes: Sequence[str] = ()
    request: Sequence[str] = ()

    @property
    def good(self) -> bool:
        """Whether the newest version can be installed and breaks no clause."""
        return not self.fault and not self.clauses

    @property
    def result(self) -> str:
        """The result in a few words."""
        if self.newest is None:
            return "cannot be installed"
        if self.fault:
            return "could not be tried"
        if self.newest == self.pinned:
            return "the same version"
        if not self.clauses:
            return "keeps the contract"
        return f"breaks {len(self.clauses)} clause{'s' if len(self.clauses) > 1 else ''}"

    @property
    def changes(self) -> str:
        """How much changed, in a few words."""
        events = _came_and_went("events", self.shapes)
        request = _came_and_went("request", [line for line in self.request if line[:3] not in {"+++", "---"}])
        return ", ".join(filter(None, (events, request))) or "-"


def _came_and_went(what: str, lines: Iterable[str]) -> str:
    signs = [line[:1] for line in lines]
    came, went = signs.count("+"), signs.count("-")
    return f"{what} +{came} -{went}" if came or went else ""


def table(compared: Iterable[Compared]) -> str:
    """Return the table of all CLIs, in Markdown."""
    head = ("backend", "package", "pinned", "newest", "result", "changes")
    rows = [
        (one.backend, one.package, one.pinned, one.newest or "-", one.result, one.changes)
        for one in sorted(compared, key=lambda one: one.backend)
    ]
    return "".join(f"| {' | '.join(row)} |\n" for row in (head, ("---",) * len(head), *rows))


def details(one: Compared) -> str:
    """Return what was found of one CLI. Its first line can be the subject of a commit."""
    title = f"{one.backend}: {one.package} {one.pinned} -> {one.newest or 'the newest'}"
    if one.fault:
        return f"{title} {one.result}:\n{one.fault}\n"
    if one.newest == one.pinned:
        return f"{one.backend}: {one.package} {one.pinned} is the newest\n"
    parts = {
        "Clauses that fail": one.clauses or ["none"],
        "Events: types and fields": one.shapes or ["no change"],
        "What it sends its model (system prompt, tools)": one.request or ["no change"],
    }
    lines = [title, ""]
    for heading, found in parts.items():
        lines += [f"{heading}:", *(f"  {line}" for line in found), ""]
    return "\n".join(lines)


def report(compared: Sequence[Compared]) -> str:
    """Return the whole report, in Markdown: the table, and below it what was found of each CLI that changed."""
    found = "\n".join(details(one) for one in compared if one.newest != one.pinned)
    fence = "`" * 8  # longer than any in a prompt
    return f"{table(compared)}\n{fence}text\n{found}{fence}\n" if found else table(compared)
