"""What was said in a case, as the messages and events of an Inspect log."""

from __future__ import annotations

from typing import Any

from backends.events import Usage
from harness.exports.cases import asked
from harness.exports.plain import plain
from harness.exports.timeline import TimedAttempt, TimedCall, TimedCase, TimedNotice, TimedThread, TimedTurn, iso
from harness.results.record import UsageTotals
from harness.transcript.turns import Said, ToolUse

_STOP_REASONS = {
    "last": "stop",
    "output_limit": "max_tokens",
    "context_limit": "model_length",
    "refused": "content_filter",
    "unknown": "unknown",
}

Json = dict[str, Any]


def model_usage(usage: Usage | UsageTotals, cost_usd: float | None) -> Json | None:
    """Return tokens and cost as Inspect counts them, or `None` if the tokens are not known."""
    counts = (usage.input_tokens, usage.output_tokens, usage.cache_read_tokens, usage.cache_write_tokens)
    if usage.input_tokens is None and usage.output_tokens is None:
        return None
    return known(
        input_tokens=usage.input_tokens or 0,
        output_tokens=usage.output_tokens or 0,
        total_tokens=sum(count for count in counts if count is not None),
        input_tokens_cache_write=usage.cache_write_tokens,
        input_tokens_cache_read=usage.cache_read_tokens,
        reasoning_tokens=usage.reasoning_tokens,
        total_cost=cost_usd,
    )


def known(**values: Any) -> Json:
    """Return the values that are known."""
    return {name: value for name, value in values.items() if value is not None}


class InspectTranscript:
    """Turns a case into messages and events.

    `messages` is what the main agent said and heard, and `pool` what all agents did. A model's input stands in the log
    as ranges of the pool, so that its size grows with the conversation and not with its square.
    """

    def __init__(self, timed: TimedCase) -> None:
        self.messages: list[Json] = []
        self.events: list[Json] = []
        self.pool: list[Json] = []
        self.output: Json | None = None
        self._timed = timed
        self._spans = 0
        self._heard: list[tuple[int, int]] = []
        self._model = timed.case.model
        self._backend = timed.case.record.case.backend
        for attempt in timed.attempts:
            self._attempt(attempt)

    def event(self, kind: str, at: int, span: str | None, **values: Any) -> None:
        """Add an event."""
        told = {"event": kind, "timestamp": iso(at), "working_start": self._since(self._timed.start, at)}
        self.events.append(told | known(span_id=span, uuid=f"event-{len(self.events) + 1}", **values))

    def _attempt(self, attempt: TimedAttempt) -> None:
        """Add an attempt. One that went on with the conversation before it has heard that, too."""
        resumed = attempt.attempt is not None and attempt.attempt.resumed
        heard = self._heard if resumed else []
        for role, text in (("system", attempt.transcript.instructions), ("user", attempt.transcript.prompt)):
            if text and not (resumed and role == "system"):
                self._say(heard, {"role": role, "content": text, "source": "input"}, main=True)
        span = None
        if len(self._timed.attempts) > 1:
            span = self._begin(f"attempt {attempt.transcript.attempt}", attempt.start, None)
        self.output = self._thread(attempt.thread, span, heard, main=True) or self.output
        self._heard = heard
        if span:
            self.event("span_end", attempt.end, span, id=span)

    def _thread(
        self, thread: TimedThread, span: str | None, heard: list[tuple[int, int]], *, main: bool
    ) -> Json | None:
        """Add what a thread has, and return the output of its last turn."""
        output = None
        for entry in thread.entries:
            if isinstance(entry, TimedNotice):
                self._notice(entry, span)
            else:
                output = self._turn(entry, span, heard, main=main)
        return output

    def _notice(self, entry: TimedNotice, span: str | None) -> None:
        kind, text = entry.notice.kind, entry.notice.text
        if kind == "compaction":
            self.event("compaction", entry.at, span, type="summary", source=self._backend, metadata={"text": text})
        else:
            self.event("info", entry.at, span, source="proctor", data={"kind": kind, "text": text})

    def _turn(self, timed: TimedTurn, span: str | None, heard: list[tuple[int, int]], *, main: bool) -> Json:
        turn, metered = timed.turn, timed.turn.metered
        calls = [(call, plain(call.call.call_id) or f"call-{number}") for number, call in enumerate(timed.calls, 1)]
        message: Json = {
            "role": "assistant",
            "content": [_said(part) for part in timed.parts if isinstance(part, Said)],
            "source": "generate",
            **({"tool_calls": [_tool_call(call.call, call_id) for call, call_id in calls]} if calls else {}),
            **known(model=turn.model or None),
        }
        usage = model_usage(metered.usage, metered.cost_usd) if metered else model_usage(turn.usage, turn.cost_usd)
        reason = _STOP_REASONS.get(turn.stop_reason or "", "tool_calls" if calls else "stop")
        inputs = list(heard)
        self._say(heard, message, main=main)
        output = {
            "model": turn.model or self._model,
            "choices": [{"message": message, "stop_reason": "unknown" if turn.number is None else reason}],
            "completion": turn.text,
            **known(usage=usage, time=metered.model_s if metered else None),
        }
        self.event(
            "model",
            timed.start,
            span,
            model=self._model,
            input=[],
            input_refs=inputs,
            tools=[],
            tool_choice="auto",
            config={},
            output=output,
            completed=iso(timed.end),
            working_time=self._since(timed.start, timed.end),
            metadata=known(turn=turn.number, time_unknown=None if timed.known else True) or None,
        )
        for call, call_id in calls:
            self._call(call, call_id, span, heard, main=main)
        return output

    def _call(
        self, timed: TimedCall, call_id: str, span: str | None, heard: list[tuple[int, int]], *, main: bool
    ) -> None:
        call, result, inside = timed.call, timed.call.result, None
        output = result.output if result else ""
        error = None
        if call.denied is not None:
            error = {"type": "permission", "message": call.denied}
        elif result and result.is_error:
            error = {"type": "unknown", "message": output}
        if timed.subagent and timed.subagent.entries:
            inside = f"span-{self._spans + 1}"
        self.event(
            "tool",
            timed.start,
            span,
            id=call_id,
            function=call.name,
            arguments=_arguments(call),
            result=output,
            error=error,
            completed=iso(timed.end) if result else None,
            working_time=self._since(timed.start, timed.end),
            agent="subagent" if inside else None,
            agent_span_id=inside,
            metadata=None if timed.known else {"duration_unknown": True},
        )
        if inside and timed.subagent:
            self._begin("subagent", timed.subagent.start, span, "agent")
            inner: list[tuple[int, int]] = []
            if prompt := asked(call):
                self._say(inner, {"role": "user", "content": prompt, "source": "input"}, main=False)
            self._thread(timed.subagent, inside, inner, main=False)
            self.event("span_end", timed.subagent.end, inside, id=inside)
        if result or error:
            message = {"role": "tool", "tool_call_id": call_id, "function": call.name, **known(error=error)}
            self._say(heard, message | {"content": output}, main=main)

    def _begin(self, name: str, at: int, parent: str | None, kind: str | None = None) -> str:
        self._spans += 1
        span = f"span-{self._spans}"
        self.event("span_begin", at, span, id=span, type=kind, name=name, parent_id=parent)
        return span

    def _say(self, heard: list[tuple[int, int]], message: Json, *, main: bool) -> None:
        """Add a message to the pool and to what its agent has heard, and if it is the main agent, to the messages."""
        number = len(self.pool)
        message["id"] = f"message-{number + 1}"
        self.pool.append(message)
        if heard and heard[-1][1] == number:
            heard[-1] = (heard[-1][0], number + 1)
        else:
            heard.append((number, number + 1))
        if main:
            self.messages.append(message)

    @staticmethod
    def _since(start: int, at: int) -> float:
        return max(0, at - start) / 1e9


def _said(said: Said) -> Json:
    return {"type": "reasoning", "reasoning": said.text} if said.thinking else {"type": "text", "text": said.text}


def _arguments(call: ToolUse) -> Json:
    arguments = plain(call.arguments)
    return arguments if isinstance(arguments, dict) else {"arguments": arguments} if arguments else {}


def _tool_call(call: ToolUse, call_id: str) -> Json:
    return {"id": call_id, "function": call.name, "arguments": _arguments(call), "type": "function"}
