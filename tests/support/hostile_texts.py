"""Texts that attack a page or a terminal, and runs in which everything that an agent or a model writes is one."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from backends.registry import own_names
from harness.case_folder import CaseFolder
from harness.endings import Cause, Ending
from harness.results.record import Attempt, CaseUsage
from tests.support.project import ROOT
from tests.support.runs import night, write_run

OWNED = "window.owned=1;alert(1)"
HOSTILE = (
    f"<script>{OWNED}</script>",
    f'</script><img src=x onerror="{OWNED}">',
    f"</pre></div></main><svg onload={OWNED}><div style='position:fixed;inset:0;z-index:9;background:red'>covered",
    "<style>*{display:none!important}</style><link rel=stylesheet href=https://example.invalid/a.css>",
    f"<iframe srcdoc='<script>parent.{OWNED}</script>'></iframe><base href=https://example.invalid>",
    f'<a href="javascript:{OWNED}" id=main>javascript:{OWNED}</a> https://example.invalid/track.png',
    f"' autofocus onfocus='{OWNED}' x=\" onmouseover=\"{OWNED}",
    f"<meta http-equiv=refresh content='0;url=data:text/html,<script>{OWNED}</script>'>",
    f"]]>--><!-- {{{{ 7 * 7 }}}} {{% raw %}} ${{{OWNED}}}",
    "\x1b[2J\x1b]0;owned\x07\x1b[8m\x9b31m hidden\r\b\b",
    "\u202eright to left\u2066 isolated\u200b\ufeff\u2028line\u0085next",
    "\ud800 lone \udfff surrogates",
    "\x01" + "7" * 40 + "\x00nul",
    "Z" + "\u0341\u033f\u0489" * 300 + " piled up",
    "w" * 5000 + "\u00a0" * 3000,
)
"""Each is one text. Together they hold markup, scripts, styles, escapes, bidi marks, surrogates and wide words."""

_FREE = re.compile(r"[ /.]")
"""What a text has that is more than a name of the stream's own."""


def write_hostile_run(folder: Path) -> Path:
    """Write a run with a case for each backend. Every text in its streams, files and errors is hostile."""
    explanation = " ".join(HOSTILE[:11])
    crashed = Attempt(
        ending=Ending.CLI_CRASHED,
        cause=Cause.CLI,
        explanation="",
        exit_code=1,
        seconds=1.0,
        kill_s=0.0,
        usage=CaseUsage(),
    )
    attempts = [msgspec.structs.replace(crashed, explanation=text) for text in HOSTILE[:3]]
    records = night(
        {(name, "maze"): [7] for name in own_names()},
        explanation=explanation,
        warnings=list(HOSTILE[:11]),
        attempts=attempts,
    )
    write_run(folder, records)
    for name in own_names():
        files, recorded = CaseFolder(folder / f"{name}-qwen-maze-r1"), ROOT / "tests/corpus" / name / "normal"
        texts = itertools.cycle(HOSTILE)
        lines = [json.loads(line) for line in (recorded / "stream.jsonl").read_text().splitlines()]
        # Several streams, one after the other, so that each place gets several texts.
        files.stream.write_text("".join(json.dumps(_hostile(line, texts)) + "\n" for _ in HOSTILE for line in lines))
        with files.stream.open("a") as stream:
            stream.write(
                "x" * 10_000_000 + "\n" + json.dumps({"type": HOSTILE[0], HOSTILE[1]: "y" * 10_000_000}) + "\n"
            )
        for file in (files.prompt, files.instructions, files.stderr):
            file.write_bytes("\n".join(HOSTILE).encode("utf-8", "surrogatepass"))
        _write_submission(files.submission)
        episodes = [{"index": n, "outcome": "crashed", "error": text} for n, text in enumerate(HOSTILE)]
        odd = [{"index": HOSTILE[0], "outcome": HOSTILE[1], "steps": HOSTILE[2], "seconds": {}}, [], 7]
        files.episodes.write_text("".join(json.dumps(episode) + "\n" for episode in (*episodes, *odd)))
    return folder


def write_hostile_claude_stream(folder: Path) -> None:
    """Write a stream of Claude Code with every text as words, reasoning, tool name, argument, path and result."""
    blocks = [
        block
        for number, text in enumerate(HOSTILE)
        for block in (
            {"type": "text", "text": text},
            {"type": "thinking", "thinking": text},
            {"type": "tool_use", "id": f"c{number}", "name": text[:100], "input": {"command": text, text[:50]: text}},
            {"type": "tool_use", "id": f"w{number}", "name": "Write", "input": {"file_path": text, "content": text}},
        )
    ]
    results = [{"type": "tool_result", "tool_use_id": f"c{n}", "content": text} for n, text in enumerate(HOSTILE)]
    lines = [
        {"type": "assistant", "message": {"id": "one", "model": HOSTILE[0], "content": blocks}},
        {"type": "user", "message": {"content": results}},
        {"type": HOSTILE[0]},
        {"type": "result", "subtype": HOSTILE[1], "is_error": True, "result": HOSTILE[2]},
    ]
    CaseFolder(folder).stream.write_text("".join(json.dumps(line) + "\n" for line in lines))


def _hostile(value: Any, texts: Iterator[str]) -> Any:
    """Return the value with each text that an agent chose, a path included, replaced by the next hostile one."""
    if isinstance(value, str):
        return next(texts) if _FREE.search(value) else value
    if isinstance(value, dict):
        return {key: _hostile(item, texts) for key, item in value.items()}
    return [_hostile(item, texts) for item in value] if isinstance(value, list) else value


def _write_submission(folder: Path) -> None:
    folder.mkdir()
    (folder / "approach.py").write_bytes("\n".join(HOSTILE).encode("utf-8", "surrogatepass"))
    (folder / "large.txt").write_bytes(b"z" * 10_000_000)
    for text in HOSTILE:
        name = text.replace("/", "|").replace("\0", "").encode("utf-8", "surrogatepass")[:200]
        (folder / os.fsdecode(name)).write_text("x = 1")
    shutil.copy(ROOT / "LICENSE", folder / "no-suffix")
