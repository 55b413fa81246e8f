"""Turns a transcript into the plain data that the page shows."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from harness.page.diffs import DiffLine, diff_lines, patch_lines
from harness.transcript.turns import FileChange, Notice, Said, Thread, ToolUse, Transcript, Turn
from harness.visible import visible


class Shower:
    """Makes the page's data from the transcripts of one case.

    `most` is how many characters of one text it shows. It remembers the files that were written, so that a file which
    is written again shows as a diff.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._files: dict[str, str] = {}

    def transcript(self, transcript: Transcript) -> dict[str, Any]:
        """Return an attempt as plain data."""
        return {
            "attempt": transcript.attempt,
            "prompt": self._text(transcript.prompt),
            "instructions": self._text(transcript.instructions),
            "faults": [visible(fault) for fault in transcript.faults],
            "thread": self._thread(transcript.thread),
        }

    def _thread(self, thread: Thread) -> dict[str, Any]:
        entries = [self._notice(one) if isinstance(one, Notice) else self._turn(one) for one in thread.entries]
        return {"entries": entries, "left_out": thread.left_out}

    def _notice(self, notice: Notice) -> dict[str, Any]:
        return {"kind": notice.kind, "text": self._text(notice.text)}

    def _turn(self, turn: Turn) -> dict[str, Any]:
        return {
            "n": turn.number,
            "model": visible(turn.model),
            "stop": turn.stop_reason,
            "usage": msgspec.to_builtins(turn.usage),
            "cost": turn.cost_usd,
            "metered": msgspec.to_builtins(turn.metered),
            "parts": [self._said(part) if isinstance(part, Said) else self._call(part) for part in turn.parts],
        }

    def _said(self, said: Said) -> dict[str, Any]:
        return {"thinking": said.thinking, "text": self._text(said.text, said.left_out)}

    def _call(self, call: ToolUse) -> dict[str, Any]:
        result = call.result
        return {
            "call": visible(call.name),
            "arguments": self._text(readable(call.arguments)),
            "about": visible(about(call.arguments)),
            "changes": [self._change(change) for change in call.changes],
            "result": None if result is None else self._text(result.output, result.left_out),
            "error": result.is_error if result else False,
            "seconds": result.seconds if result else None,
            "denied": None if call.denied is None else visible(call.denied),
            "pictures": list(call.pictures),
            "subagent": None if call.subagent is None else self._thread(call.subagent),
        }

    def _change(self, change: FileChange) -> dict[str, Any]:
        lines: list[DiffLine] = []
        if change.patch is not None:
            lines = patch_lines(change.patch[: self._most])
        elif change.after is not None:
            before = change.before if change.before is not None else self._files.get(change.path, "")
            lines = diff_lines(before[: self._most], change.after[: self._most])
            if change.before is None:
                self._files[change.path] = change.after
        return {"path": visible(change.path), "lines": [(sign, visible(line)) for sign, line in lines]}

    def _text(self, text: str | None, left_out: int = 0) -> dict[str, Any] | None:
        """Return a text that is short enough, and how many characters were left out."""
        if text is None:
            return None
        return {"text": visible(text[: self._most]), "left_out": left_out + max(0, len(text) - self._most)}


def readable(arguments: Any) -> str:
    """Return the arguments of a call as JSON with line breaks, or the text itself if they are a text."""
    return arguments if isinstance(arguments, str) else json.dumps(arguments, indent=1, ensure_ascii=False)


def about(arguments: Any) -> str:
    """Return the argument that says the most about a call in a few words: its command, path, query or label."""
    if not isinstance(arguments, dict):
        return str(arguments or "")[:120]
    for name in ("command", "cmd", "file_path", "filePath", "path", "pattern", "query", "label", "description"):
        value = arguments.get(name)
        if isinstance(value, list):
            value = " ".join(map(str, value))
        if isinstance(value, str) and value.strip():
            return value.strip().partition("\n")[0][:120]
    return ""
