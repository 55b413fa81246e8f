"""Writes the README's table of what each CLI can do and tells: `python -m tests.corpus.table`.

What a CLI can do is in its adapter (`Capabilities`), and the contract tests it. What it tells is read from its recorded
sessions in `tests/corpus/NAME/`, and from its grammar.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from backends.base import Backend, NpmPackage, PipPackage
from backends.registry import backend, own_names
from tests.properties.grammar import grammar, leaves_out

CORPUS: Final = Path(__file__).parent
PAGE: Final = CORPUS.parents[1] / "README.md"
BEGIN: Final = "<!-- `python -m tests.corpus.table` writes what follows. -->\n"
END: Final = "<!-- `python -m tests.corpus.table` has written what precedes. -->"

_HEAD: Final = (
    *("backend", "licence", "MB", "speaks", "MCP", "subagents", "resumes", "compacts", "own limits"),
    *("tells turns", "tokens", "cost", "tool errors", "retries"),
)
_WIRES: Final = {
    "anthropic_messages": "Anthropic",
    "openai_chat": "OpenAI chat",
    "openai_responses": "OpenAI responses",
    "google_generate": "Google",
}
_TOKENS: Final = {
    "input_tokens": "in",
    "output_tokens": "out",
    "cache_read_tokens": "cache reads",
    "cache_write_tokens": "cache writes",
    "reasoning_tokens": "reasoning",
}


def table(names: Iterable[str]) -> str:
    """Return the table, with a row for each of these backends."""
    rows = [_HEAD, ("---",) * len(_HEAD), *(_row(backend(name)) for name in names)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def written(page: str) -> str:
    """Return the page with the table between its marks. Raise `ValueError` if it has no marks."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{PAGE.name} has no marks for the table: {BEGIN.strip()} and {END}")
    return f"{before}{begin}\n{table(own_names())}\n{end}{after}"


def _row(adapter: Backend) -> tuple[str, ...]:
    can, sessions = adapter.capabilities, _sessions(adapter.name)
    package = adapter.installation
    pinned = package if isinstance(package, NpmPackage | PipPackage) else None
    return (
        f"`{adapter.name}`",
        pinned.licence.partition(":")[0] if pinned else "-",
        str(pinned.megabytes) if pinned else "-",
        "all" if set(can.wires) == set(_WIRES) else ", ".join(_WIRES[wire] for wire in can.wires),
        *map(_yes, (can.mcp, can.subagents, can.resume, can.compact)),
        ", ".join(f"`{limit}`" for limit in adapter.own_limits.values()) or "-",
        "yes" if "turns" in grammar(adapter.name).SHOWS else "in its log",
        _tokens(adapter, sessions),
        _yes(any(told["cost_usd"] is not None for told in sessions)),
        "some" if "tool_errors" in leaves_out(adapter.name) else _yes(any(told["tool_errors"] for told in sessions)),
        _yes(any(told["api_retries"] for told in sessions)),
    )


def _sessions(name: str) -> list[dict[str, Any]]:
    """Return what is read of each recorded session of a backend."""
    return [json.loads(file.read_bytes()) for file in sorted((CORPUS / name).glob("*/expected.json"))]


def _tokens(adapter: Backend, sessions: list[dict[str, Any]]) -> str:
    told = ", ".join(
        word for kind, word in _TOKENS.items() if any(session["usage"][kind] is not None for session in sessions)
    )
    return f"{told}; some only at the end" if told and adapter.quirks.totals_at_end else told or "-"


def _yes(it: bool) -> str:
    return "yes" if it else "-"


def main() -> None:
    """Write the table into the README."""
    PAGE.write_text(written(PAGE.read_text()))


if __name__ == "__main__":
    main()
