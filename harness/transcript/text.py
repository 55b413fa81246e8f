"""A transcript as lines of text, for a terminal."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from msgspec import Struct

from harness.transcript.turns import FileChange, MeteredTurn, Notice, Result, Said, Thread, ToolUse, Transcript, Turn

_BOLD, _DIM, _RED, _GREEN, _YELLOW, _PLAIN = "\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[0m"
_NOTICES = {
    "started": "started",
    "retry": "asked again",
    "compaction": "the conversation was shortened",
    "mcp": "MCP server",
    "rate_limit": "rate limit",
    "error": "error",
    "limit": "a limit struck",
    "ended": "ended",
    "unknown": "unknown line",
    "malformed": "malformed line",
}


class TextLine(Struct, frozen=True):
    """A line of text and its colour: `bold`, `dim`, `red`, `green`, `yellow` or none ("")."""

    text: str
    colour: str = ""


def coloured(line: TextLine) -> str:
    """Return the line with the escapes of a terminal for its colour."""
    codes = {"bold": _BOLD, "dim": _DIM, "red": _RED, "green": _GREEN, "yellow": _YELLOW}
    return f"{codes[line.colour]}{line.text}{_PLAIN}" if line.colour else line.text


def transcript_lines(transcript: Transcript, most: int | None) -> Iterator[TextLine]:
    """Yield the lines of an attempt. Of each longer text, `most` lines are shown; `None` shows all.

    The text is that of the agent: make it visible before it is printed.
    """
    for fault in transcript.faults:
        yield TextLine(fault, "red")
    yield from thread_lines(transcript.thread, most, "")


def thread_lines(thread: Thread, most: int | None, margin: str) -> Iterator[TextLine]:
    """Yield the lines of a thread, each with this text in front."""
    for entry in thread.entries:
        lines = _notice(entry) if isinstance(entry, Notice) else turn_lines(entry, most)
        yield from (TextLine(margin + line.text, line.colour) for line in lines)
    if thread.left_out:
        yield TextLine(f"{margin}({thread.left_out:,} further entries are left out)", "dim")


def turn_lines(turn: Turn, most: int | None, *, measured: bool = True) -> Iterator[TextLine]:
    """Yield the lines of a turn. Without `measured`, leave out tokens, cost and times, which always differ."""
    title = "A response without a number" if turn.number is None else f"Turn {turn.number}"
    measures = _measures(turn) if measured else []
    yield TextLine("")
    yield TextLine("  ".join([f"--- {title}", *measures]), "bold")
    for part in turn.parts:
        yield from _said(part, most) if isinstance(part, Said) else _call(part, most)


def _measures(turn: Turn) -> list[str]:
    metered = turn.metered
    usage = metered.usage if metered else turn.usage
    cost = turn.cost_usd if metered is None or metered.cost_usd is None else metered.cost_usd
    found = []
    if usage.prompt_tokens or usage.output_tokens:
        found.append(f"{usage.prompt_tokens:,} + {usage.output_tokens or 0:,} tokens")
    if cost:
        found.append(f"${cost:.4f}")
    return found + _times(metered)


def _times(metered: MeteredTurn | None) -> list[str]:
    if metered is None:
        return []
    after = [] if metered.after_s is None else [f"{metered.after_s:.1f} s until the next request"]
    failed = [f"after {failures(metered.failed)}"] if metered.failed else []
    return [*failed, f"{metered.model_s:.1f} s model", *after]


def failures(statuses: Sequence[int | None]) -> str:
    """Return how many requests failed, and with which HTTP statuses, in words."""
    known = ", ".join(str(status) for status in dict.fromkeys(statuses) if status is not None)
    many = "1 failed request" if len(statuses) == 1 else f"{len(statuses)} failed requests"
    return f"{many} (status {known})" if known else many


def _notice(notice: Notice) -> Iterator[TextLine]:
    bad = notice.kind in {"error", "limit", "rate_limit", "malformed"}
    yield TextLine(f"* {_NOTICES.get(notice.kind, notice.kind)}: {notice.text}".rstrip(": "), "red" if bad else "dim")


def _said(said: Said, most: int | None) -> Iterator[TextLine]:
    yield from _lines(said.text, "", most, said.left_out, "dim" if said.thinking else "")


def _call(call: ToolUse, most: int | None) -> Iterator[TextLine]:
    yield TextLine(f"> {call.name}", "yellow")
    if call.changes:
        for change in call.changes:
            yield from _change(change, most)
    elif call.arguments not in (None, {}, ""):
        arguments = call.arguments
        text = arguments if isinstance(arguments, str) else _readable(arguments)
        yield from _lines(text, "    ", most, 0, "")
    yield from _result(call.result, call.denied, most)
    for name in call.pictures:
        yield TextLine(f"  picture: renders/{name}", "dim")
    if call.subagent and call.subagent.entries:
        yield from thread_lines(call.subagent, most, "  | ")
    elif call.subagent:
        yield TextLine("  (the CLI does not show what the subagent did)", "dim")


def _readable(arguments: object) -> str:
    """Return arguments with one short text as that text, and others as JSON."""
    if isinstance(arguments, dict) and all(isinstance(value, str) for value in arguments.values()):
        return "\n".join(f"{name}: {value}" for name, value in arguments.items())
    return json.dumps(arguments, ensure_ascii=False)


def _change(change: FileChange, most: int | None) -> Iterator[TextLine]:
    yield TextLine(f"  {change.path or 'patch'}", "bold")
    if change.patch is not None:
        yield from _lines(change.patch, "    ", most, 0, "")
        return
    if change.before is not None:
        yield from _lines(change.before, "    - ", most, 0, "red")
    if change.after is not None:
        yield from _lines(change.after, "    + ", most, 0, "green")


def _result(result: Result | None, denied: str | None, most: int | None) -> Iterator[TextLine]:
    if denied is not None:
        yield TextLine(f"  denied: {denied}", "red")
    if result is None:
        yield TextLine("  no result", "dim")
        return
    took = "" if result.seconds is None else f" after {result.seconds:.1f} s"
    yield TextLine(f"  {'failed' if result.is_error else 'result'}{took}:", "red" if result.is_error else "dim")
    yield from _lines(result.output, "    ", most, result.left_out, "")


def _lines(text: str, margin: str, most: int | None, left_out: int, colour: str) -> Iterator[TextLine]:
    lines = text.splitlines()
    shown: Sequence[str] = lines if most is None or len(lines) <= most else lines[:most]
    yield from (TextLine(margin + line, colour) for line in shown)
    if len(shown) < len(lines):
        yield TextLine(f"{margin}... {len(lines) - len(shown):,} more lines (--full shows them)", "dim")
    elif left_out:
        yield TextLine(f"{margin}... {left_out:,} more characters are in the files of the case", "dim")
