"""Writes a run with the transcripts that exports must take: of all backends, and of sessions that went wrong."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import msgspec
from msgspec.structs import replace

from backends.registry import own_names
from harness.case import Limits
from harness.endings import Cause, Ending
from harness.results.record import Asked, Attempt, CaseUsage, UsageTotals
from tests.support.project import ROOT
from tests.support.runs import night, record, write_run

CORPUS = ROOT / "tests" / "corpus"
STARTED = "2026-11-26T11:02:21.244+00:00"
HOSTILE = "<script>alert(1)</script> \u202e \x1b[2J \x00 ![](http://example.invalid/x.png) \udc80"
"""Markup, a mark that turns the direction of writing, an escape, and a text that cannot be encoded."""


def transcript_run(folder: Path) -> Path:
    """Return a run with a case for each backend, and these of Claude Code, each named after its environment.

    `subagents` starts two. `retried` needed two attempts, and the second went on with the first. `limited` reached a
    limit. `mute` left no stream. `hostile` tried what harms readers. `skipped` did not run. `killed` has only a draft.
    Only the cases of the backends have a ledger.
    """
    records = night({(name, "maze"): [20, 3] for name in own_names()}, started_at=STARTED)
    own = {name: record("claude", name, 1, solved=3, started_at=STARTED) for name in ("subagents", "hostile")}
    own["retried"] = record("claude", "retried", 1, solved=20, attempts=[_attempt(Ending.MODEL_ERROR), _attempt()])
    own["limited"] = record("claude", "limited", 1, solved=0, ending=Ending.TURN_LIMIT, cause=Cause.LIMIT)
    own["limited"] = replace(own["limited"], limits=Limits(turns=2), usage=CaseUsage())
    own["mute"] = record("claude", "mute", 1, solved=None, explanation="the model is gone")
    own["skipped"] = record("claude", "skipped", 1, solved=None, outcome="skipped")
    killed = record("claude", "killed", 1, solved=None, ending=Ending.INTERRUPTED, cause=Cause.HARNESS)
    run = write_run(folder, [*records, *own.values()])
    shutil.rmtree(run / own["skipped"].session)
    for one in records:
        _put(run / one.session, one.case.backend, "normal")
        _ledger(run / one.session)
    for name, case in (("subagents", "subagents"), ("retried", "resumed"), ("limited", "turn_limit")):
        _put(run / own[name].session, "claude", case)
    _put(run / own["retried"].session / "attempt-1", "claude", "http_500_later")
    _put(run / own["hostile"].session, "claude", "normal")
    (run / own["hostile"].session / "stream.jsonl").write_bytes(_hostile())
    _put(run / killed.session, "claude", "cut_stream")
    draft = replace(killed, versions=replace(killed.versions, cli=None))
    (run / killed.session / "draft.json").write_bytes(msgspec.json.encode(draft))
    (run / "cases.json").write_text(json.dumps([one.session for one in (*records, *own.values(), killed)]))
    return run


def _attempt(ending: Ending = Ending.FINISHED) -> Attempt:
    wrong = ending is not Ending.FINISHED
    return Attempt(
        ending=ending,
        cause=Cause.MODEL if wrong else Cause.AGENT,
        explanation="the service answered 500" if wrong else "",
        exit_code=0,
        resumed=not wrong,
        asked=Asked.TASK if wrong else Asked.GO_ON,
        waited_s=0.0 if wrong else 2.0,
        seconds=5.0,
        kill_s=0.0,
        usage=CaseUsage(metered=UsageTotals(turns=3, input_tokens=300, cache_read_tokens=20, output_tokens=30)),
    )


def _put(folder: Path, backend: str, case: str) -> None:
    folder.mkdir(exist_ok=True)
    shutil.copy(CORPUS / backend / case / "stream.jsonl", folder)
    shutil.copy(CORPUS / backend / case / "stderr", folder / "stderr.log")
    (folder / "prompt.md").write_text("Solve the maze.")
    (folder / "instructions.md").write_text("You work alone.")


def _ledger(folder: Path) -> None:
    """Write the ledger of a session with the three turns of the case `normal`, a second apart."""
    usage = {"input_tokens": 300, "output_tokens": 30, "cache_read_tokens": 20, "cache_write_tokens": 0}
    lines = [
        {
            "time": f"2026-11-26T11:02:{22 + turn}.000+00:00",
            "method": "POST",
            "path": "/v1/messages",
            "kind": "turn",
            "status": 200,
            "usage": usage,
            "tools_called": tools,
            "cost_usd": 0.001,
            "duration_s": 0.25,
        }
        for turn, tools in enumerate((["write"], ["bash"], []))
    ]
    (folder / "gateway.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def _hostile() -> bytes:
    nested: object = HOSTILE
    for _ in range(150):
        nested = [nested]
    content = [
        {"type": "text", "text": HOSTILE},
        {"type": "tool_use", "id": HOSTILE, "name": HOSTILE, "input": {HOSTILE: nested, "n": 2**70, "f": 1e999}},
        {"type": "tool_use", "id": "", "name": "Bash", "input": "no object"},
    ]
    said = {"type": "assistant", "message": {"id": "one", "model": HOSTILE, "content": content}}
    result = {"type": "tool_result", "tool_use_id": HOSTILE, "content": HOSTILE, "is_error": True}
    answer = {"type": "user", "message": {"role": "user", "content": [result]}}
    return b"".join(json.dumps(line).encode() + b"\n" for line in (said, answer))
