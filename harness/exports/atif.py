"""Trajectories in ATIF, the Agent Trajectory Interchange Format: what each attempt of a case said and did, as JSON.

The format is that of Harbor (https://github.com/harbor-framework/harbor, RFC 0001).
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from backends.events import Usage
from harness.exports.cases import ExportedCase, asked
from harness.exports.files import written
from harness.exports.plain import json_bytes, plain
from harness.report.table import used
from harness.results.record import Attempt, UsageTotals
from harness.transcript.turns import Notice, Said, Thread, ToolUse, Transcript, Turn

VERSION = "ATIF-v1.8"

_TOLD = ("retry", "compaction", "rate_limit", "error", "limit")
"""The kinds of notices that become steps. The others say nothing about the conversation."""


class _Place(Struct, frozen=True):
    """Where a trajectory stands: its id, the case, and the names of the pictures that its file may show."""

    id: str
    case: ExportedCase
    shown: frozenset[str]

    def picture(self, name: str) -> str:
        """Return the path of a picture, as it is written in the trajectory."""
        return f"{self.case.name}/{name}"


def write_trajectories(case: ExportedCase, folder: Path) -> list[Path]:
    """Write a trajectory for each attempt of a case into a folder, and return the files, oldest first.

    The file of the last attempt has the name of the case. The pictures that the tools drew lie in a folder beside it.
    An attempt in which nothing happened has no file. Raise `OSError` if a file cannot be written.
    """
    shown = frozenset(_copied(case, folder / case.name))
    files = []
    for transcript in case.transcripts:
        document = trajectory(case, transcript, shown)
        if document["steps"]:
            path = folder / _file_name(case, transcript.attempt)
            content = json_bytes(document)
            written(path, lambda place, content=content: place.write_bytes(content))  # type: ignore[misc]
            files.append(path)
    return files


def trajectory(case: ExportedCase, transcript: Transcript, shown: frozenset[str] = frozenset()) -> dict[str, Any]:
    """Return the trajectory of an attempt. `shown` are the names of the pictures that its tools drew."""
    record = case.record
    attempts = record.attempts
    told = attempts[transcript.attempt - 1] if transcript.attempt <= len(attempts) else None
    place = _Place(f"{case.run}/{case.name}/attempt-{transcript.attempt}", case, shown)
    sent = [("system", transcript.instructions), ("user", transcript.prompt)]
    document = _document(place, transcript.thread, [{"source": who, "message": text} for who, text in sent if text])
    document["session_id"] = case.name
    document["final_metrics"] |= _totals(_usage_of(case, told))
    document["extra"] = _known(
        run=case.run,
        case=record.case.id,
        environment=record.case.environment,
        replicate=record.case.replicate,
        scripted=record.scripted,
        attempt=transcript.attempt,
        attempts=len(case.transcripts),
        ending=told.ending if told else record.ending,
        outcome=record.outcome,
        solve_rate=record.score.solve_rate if record.score else None,
        entries_left_out=transcript.thread.left_out or None,
        faults=list(transcript.faults) or None,
    )
    if transcript.attempt < len(attempts) and attempts[transcript.attempt].resumed:
        document["continued_trajectory_ref"] = _file_name(case, transcript.attempt + 1)
    return document


def _document(place: _Place, thread: Thread, opening: Sequence[dict[str, Any]]) -> dict[str, Any]:
    subagents: list[dict[str, Any]] = []
    steps = [*opening, *_steps(place, thread, subagents)]
    record = place.case.record
    document: dict[str, Any] = {
        "schema_version": VERSION,
        "trajectory_id": place.id,
        "agent": {
            "name": record.case.backend,
            "version": record.versions.cli or "unknown",
            "model_name": record.case.model,
            "extra": {"provider": record.case.provider},
        },
        "steps": [{"step_id": number, **step} for number, step in enumerate(steps, 1)],
        "final_metrics": {"total_steps": len(steps)},
    }
    return document | ({"subagent_trajectories": subagents} if subagents else {})


def _steps(place: _Place, thread: Thread, subagents: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the steps of a thread. The trajectories of its subagents are added to `subagents`."""
    for entry in thread.entries:
        if isinstance(entry, Turn):
            yield _turn(place, entry, subagents)
        elif entry.kind in _TOLD:
            yield _notice(entry)


def _notice(notice: Notice) -> dict[str, Any]:
    return {"source": "system", "message": f"{notice.kind}: {notice.text}", "extra": {"kind": notice.kind}}


def _turn(place: _Place, turn: Turn, subagents: list[dict[str, Any]]) -> dict[str, Any]:
    metered = turn.metered
    calls, results = list[dict[str, Any]](), list[dict[str, Any]]()
    for call in turn.calls:
        call_id = plain(call.call_id) or f"call-{len(calls) + 1}"
        started = [_subagent(place, call, call.subagent, subagents)] if call.subagent and call.subagent.entries else []
        calls.append(_call(call, call_id))
        results += _result(place, call, call_id, started)
    return {
        "source": "agent",
        "message": turn.text,
        **_known(
            timestamp=metered.at if metered else None,
            model_name=turn.model or None,
            reasoning_content="\n".join(p.text for p in turn.parts if isinstance(p, Said) and p.thinking) or None,
            tool_calls=calls or None,
            observation={"results": results} if results else None,
            metrics=_metrics(metered.usage, metered.cost_usd) if metered else _metrics(turn.usage, turn.cost_usd),
            llm_call_count=None if turn.number is None else 1,
            extra=_known(turn=turn.number, stop_reason=turn.stop_reason, model_s=metered.model_s if metered else None)
            or None,
        ),
    }


def _call(call: ToolUse, call_id: str) -> dict[str, Any]:
    arguments = plain(call.arguments)
    hidden = call.subagent is not None and not call.subagent.entries
    extra = _known(denied=call.denied, subagent="the CLI does not show what the subagent did" if hidden else None)
    return {
        "tool_call_id": call_id,
        "function_name": call.name,
        "arguments": arguments if isinstance(arguments, dict) else {"arguments": arguments} if arguments else {},
        **_known(extra=extra or None),
    }


def _result(place: _Place, call: ToolUse, call_id: str, started: list[dict[str, str]]) -> list[dict[str, Any]]:
    result = call.result
    if result is None and not started:
        return []
    content: Any = result.output if result else None
    if pictures := [name for name in call.pictures if name in place.shown]:
        sources = [{"media_type": "image/png", "path": place.picture(name)} for name in pictures]
        content = [{"type": "text", "text": content}, *({"type": "image", "source": source} for source in sources)]
    extra = (
        _known(is_error=result.is_error or None, seconds=result.seconds, characters_left_out=result.left_out or None)
        if result
        else {}
    )
    return [
        {
            "source_call_id": call_id,
            **_known(content=content, subagent_trajectory_ref=started or None, extra=extra or None),
        }
    ]


def _subagent(place: _Place, call: ToolUse, thread: Thread, subagents: list[dict[str, Any]]) -> dict[str, str]:
    """Add the trajectory of the subagent that a call started to `subagents`, and return a reference to it."""
    inside = _Place(f"{place.id}/subagent-{len(subagents) + 1}", place.case, place.shown)
    opening = [{"source": "user", "message": text}] if (text := asked(call)) else []
    subagents.append(_document(inside, thread, opening))
    return {"trajectory_id": inside.id}


def _metrics(usage: Usage, cost_usd: float | None) -> dict[str, Any] | None:
    went_in = (usage.input_tokens, usage.cache_read_tokens, usage.cache_write_tokens)
    extra = _known(cache_write_tokens=usage.cache_write_tokens, reasoning_tokens=usage.reasoning_tokens)
    return (
        _known(
            prompt_tokens=None if went_in == (None, None, None) else usage.prompt_tokens,
            completion_tokens=usage.output_tokens,
            cached_tokens=usage.cache_read_tokens,
            cost_usd=cost_usd,
            extra=extra or None,
        )
        or None
    )


def _usage_of(case: ExportedCase, told: Attempt | None) -> UsageTotals | None:
    """Return what an attempt used. What a killed attempt used stands in the record only if it was the only one."""
    if told is not None:
        return told.usage.metered or told.usage.reported
    return used(case.record) if len(case.transcripts) == 1 and not case.record.earlier else None


def _totals(usage: UsageTotals | None) -> dict[str, Any]:
    if usage is None:
        return {}
    tokens = Usage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        reasoning_tokens=usage.reasoning_tokens,
    )
    return {
        f"total_{name}" if name != "extra" else name: value
        for name, value in (_metrics(tokens, usage.cost_usd) or {}).items()
    }


def _file_name(case: ExportedCase, attempt: int) -> str:
    last = max([one.attempt for one in case.transcripts], default=attempt)
    return f"{case.name}.json" if attempt == last else f"{case.name}.attempt-{attempt}.json"


def _copied(case: ExportedCase, folder: Path) -> Iterator[str]:
    """Copy the pictures that the transcripts name into a folder, and yield their names. Only plain files are copied."""
    for name in sorted({name for one in case.transcripts for name in _named(one.thread)}):
        path = case.pictures.get(name)
        if path and path.is_file() and not path.is_symlink():
            folder.mkdir(exist_ok=True)
            shutil.copyfile(path, folder / name)
            yield name


def _named(thread: Thread) -> Iterator[str]:
    for call in thread.calls:
        yield from call.pictures
        if call.subagent:
            yield from _named(call.subagent)


def _known(**values: Any) -> dict[str, Any]:
    """Return the values that are known."""
    return {name: value for name, value in values.items() if value is not None}
