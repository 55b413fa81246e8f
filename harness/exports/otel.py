"""OpenTelemetry spans of a case, by the semantic conventions for generative AI. They are plain data: OTLP as JSON.

A case is a trace. Its root span stands for the case. Below are a span for each attempt (`invoke_agent`), in it one for
each turn (`chat`) and each tool call (`execute_tool`), and in a call one for the subagent that it started.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from harness.endings import Cause
from harness.exports.plain import json_text, plain
from harness.exports.timeline import TimedAttempt, TimedCall, TimedCase, TimedNotice, TimedThread, TimedTurn
from harness.report.table import used
from harness.transcript.turns import Said, Turn

SCHEMA_URL = "https://opentelemetry.io/schemas/1.41.0"

_MOST_TEXT = 20_000
"""How many characters of one text a span has. Services of OpenTelemetry refuse large spans."""

_INTERNAL, _CLIENT = 1, 3
_ERROR = 2
_REASONS = {"last": "stop", "output_limit": "length", "context_limit": "length", "refused": "content_filter"}

Attribute = str | bool | int | float | list[str]


class _Parent(Struct, frozen=True):
    """What the spans of a thread have in common: the trace, the span above, and the case."""

    trace: str
    span: str
    path: str
    case: TimedCase

    def below(self, step: str) -> _Parent:
        """Return the parent of what is below one of its spans."""
        path = f"{self.path}/{step}"
        return _Parent(self.trace, _id(path, 16), path, self.case)


def spans(timed: TimedCase) -> Iterator[dict[str, Any]]:
    """Yield the spans of a case, each after the one above it. The same case always has the same ids."""
    record, path = timed.case.record, f"{timed.case.run}/{timed.case.name}"
    parent = _Parent(_id(path, 32), "", path, timed)
    root = parent.below("case")
    failed = record.outcome == "error"
    yield _span(
        parent,
        "case",
        (f"case {record.case.id}", _INTERNAL),
        (timed.start, timed.end),
        {
            "proctor.run": timed.case.run,
            "proctor.case": record.case.id,
            "proctor.backend": record.case.backend,
            "proctor.model": record.case.model,
            "proctor.environment": record.case.environment,
            "proctor.replicate": record.case.replicate,
            "proctor.scripted": record.scripted,
            "proctor.outcome": record.outcome,
            "proctor.ending": record.ending.value,
            "proctor.cause": record.cause.value,
            "proctor.explanation": record.explanation,
            "proctor.transcript": timed.case.missing,
            "error.type": record.ending.value if failed else None,
        },
        error=record.explanation if failed else None,
        events=list(_grade(timed)),
    )
    for attempt in timed.attempts:
        yield from _attempt(root, attempt)


def _grade(timed: TimedCase) -> Iterator[dict[str, Any]]:
    """Yield the event that tells the grade, if there is one."""
    record = timed.case.record
    if record.score is not None:
        yield _event(
            "gen_ai.evaluation.result",
            timed.end,
            {
                "gen_ai.evaluation.name": "solve_rate",
                "gen_ai.evaluation.score.value": float(record.score.solve_rate),
                "gen_ai.evaluation.score.label": record.outcome,
                "gen_ai.evaluation.explanation": f"{record.score.solved} of {record.score.episodes} episodes solved",
            },
        )


def _attempt(parent: _Parent, attempt: TimedAttempt) -> Iterator[dict[str, Any]]:
    step = f"attempt-{attempt.transcript.attempt}"
    told, record, prompt = attempt.attempt, parent.case.case.record, attempt.transcript.prompt
    instructions = attempt.transcript.instructions
    failed = told is not None and told.cause not in {Cause.AGENT, Cause.LIMIT}
    usage = (told.usage.metered or told.usage.reported) if told else used(record)
    yield _span(
        parent,
        step,
        (f"invoke_agent {record.case.backend}", _INTERNAL),
        (attempt.start, attempt.end),
        {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.provider.name": record.case.provider,
            "gen_ai.agent.name": record.case.backend,
            "gen_ai.agent.version": record.versions.cli,
            "gen_ai.conversation.id": parent.case.case.name,
            "gen_ai.request.model": record.case.model,
            "gen_ai.system_instructions": json_text([_part("text", instructions)]) if instructions else None,
            "gen_ai.input.messages": json_text([{"role": "user", "parts": [_part("text", prompt)]}])
            if prompt
            else None,
            "proctor.attempt": attempt.transcript.attempt,
            "proctor.ending": told.ending.value if told else None,
            "error.type": told.ending.value if told and failed else None,
            **_usage(usage),
        },
        error=told.explanation if told and failed else None,
        events=_notices(attempt.thread),
    )
    yield from _thread(parent.below(step), attempt.thread)


def _thread(parent: _Parent, thread: TimedThread) -> Iterator[dict[str, Any]]:
    for number, turn in enumerate(thread.turns, 1):
        yield _chat(parent, f"turn-{number}", turn)
        for place, call in enumerate(turn.calls, 1):
            yield from _tool(parent, f"turn-{number}/call-{place}", call)


def _chat(parent: _Parent, step: str, timed: TimedTurn) -> dict[str, Any]:
    turn, case = timed.turn, parent.case.case.record.case
    metered = turn.metered
    reason = _reason(turn)
    message = {"role": "assistant", "parts": [*_parts(timed)]} | ({"finish_reason": reason} if reason else {})
    return _span(
        parent,
        step,
        (f"chat {case.model}", _CLIENT),
        (timed.start, timed.end),
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": case.provider,
            "gen_ai.conversation.id": parent.case.case.name,
            "gen_ai.request.model": case.model,
            "gen_ai.response.model": turn.model or None,
            "gen_ai.response.finish_reasons": [reason] if reason else None,
            "gen_ai.output.messages": json_text([message]),
            "proctor.turn": turn.number,
            "proctor.cost_usd": metered.cost_usd if metered else turn.cost_usd,
            "proctor.time_unknown": None if timed.known else True,
            **_usage(metered.usage if metered else turn.usage),
        },
    )


def _tool(parent: _Parent, step: str, timed: TimedCall) -> Iterator[dict[str, Any]]:
    call, result = timed.call, timed.call.result
    wrong = "denied" if call.denied is not None else "tool_error" if result and result.is_error else None
    yield _span(
        parent,
        step,
        (f"execute_tool {call.name}", _INTERNAL),
        (timed.start, timed.end),
        {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": call.name,
            "gen_ai.tool.call.id": call.call_id or None,
            "gen_ai.tool.type": "function",
            "gen_ai.tool.call.arguments": None if call.arguments is None else _shortened(json_text(call.arguments)),
            "gen_ai.tool.call.result": _shortened(result.output) if result else None,
            "proctor.duration_unknown": None if timed.known else True,
            "error.type": wrong,
        },
        error=(call.denied or "the tool reported an error") if wrong else None,
    )
    if timed.subagent and timed.subagent.entries:
        below = parent.below(step)
        yield _span(
            below,
            "subagent",
            ("invoke_agent subagent", _INTERNAL),
            (timed.subagent.start, timed.subagent.end),
            {
                "gen_ai.operation.name": "invoke_agent",
                "gen_ai.provider.name": parent.case.case.record.case.provider,
                "gen_ai.agent.name": "subagent",
                "gen_ai.conversation.id": parent.case.case.name,
            },
            events=_notices(timed.subagent),
        )
        yield from _thread(below.below("subagent"), timed.subagent)


def _notices(thread: TimedThread) -> list[dict[str, Any]]:
    return [
        _event(f"proctor.{entry.notice.kind}", entry.at, {"proctor.text": entry.notice.text})
        for entry in thread.entries
        if isinstance(entry, TimedNotice)
    ]


def _reason(turn: Turn) -> str | None:
    """Return why the response ended, in the words of the conventions, or `None` if that is not known."""
    if turn.number is None or turn.stop_reason == "unknown":
        return None
    return _REASONS.get(turn.stop_reason or "", "tool_call" if turn.calls else "stop")


def _parts(turn: TimedTurn) -> Iterator[dict[str, Any]]:
    for part in turn.parts:
        if isinstance(part, Said):
            yield _part("reasoning" if part.thinking else "text", part.text)
        else:
            call = part.call  # its span has the arguments
            yield {"type": "tool_call", "id": call.call_id, "name": call.name}


def _part(kind: str, text: str) -> dict[str, str]:
    return {"type": kind, "content": _shortened(text)}


def _usage(usage: Any) -> dict[str, int | None]:
    """Return the tokens of a `Usage` or `UsageTotals`. By the conventions, input tokens include the cached ones."""
    if usage is None:
        return {}
    went_in = [usage.input_tokens, usage.cache_read_tokens, usage.cache_write_tokens]
    known = [count for count in went_in if count is not None]
    return {
        "gen_ai.usage.input_tokens": sum(known) if known else None,
        "gen_ai.usage.output_tokens": usage.output_tokens,
        "gen_ai.usage.cache_read.input_tokens": usage.cache_read_tokens,
        "gen_ai.usage.cache_creation.input_tokens": usage.cache_write_tokens,
        "gen_ai.usage.reasoning.output_tokens": usage.reasoning_tokens,
    }


def _span(
    parent: _Parent,
    step: str,
    named: tuple[str, int],
    times: tuple[int, int],
    attributes: dict[str, Attribute | None],
    *,
    error: str | None = None,
    events: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """Return a span. `named` are its name and kind, `times` its start and end. Attributes of `None` are left out."""
    name, kind = named
    return {
        "traceId": parent.trace,
        "spanId": parent.below(step).span,
        **({"parentSpanId": parent.span} if parent.span else {}),
        "name": plain(name),
        "kind": kind,
        "startTimeUnixNano": str(times[0]),
        "endTimeUnixNano": str(max(times)),
        "attributes": attribute_list(attributes),
        **({"events": events} if events else {}),
        **({} if error is None else {"status": {"code": _ERROR, "message": _shortened(error)}}),
    }


def _event(name: str, at: int, attributes: dict[str, Attribute | None]) -> dict[str, Any]:
    return {"name": name, "timeUnixNano": str(at), "attributes": attribute_list(attributes)}


def attribute_list(attributes: dict[str, Attribute | None]) -> list[dict[str, Any]]:
    """Return attributes as OTLP writes them in JSON, without those that are `None`."""
    return [{"key": key, "value": _value(value)} for key, value in attributes.items() if value is not None]


def _value(value: Attribute) -> dict[str, Any]:
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)} if -(2**63) <= value < 2**63 else {"stringValue": str(value)}
        case float():
            return {"doubleValue": value}
        case str():
            return {"stringValue": plain(value)}
    return {"arrayValue": {"values": [_value(item) for item in value]}}


def _shortened(text: str) -> str:
    if len(text) <= _MOST_TEXT:
        return text
    return f"{text[:_MOST_TEXT]}... ({len(text) - _MOST_TEXT:,} more characters are in the files of the case)"


def _id(path: str, digits: int) -> str:
    return hashlib.sha256(path.encode("utf-8", "replace")).hexdigest()[:digits]
