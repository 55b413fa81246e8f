"""The scripted provider: plays a script through the real wires. It shows that the pipeline works, and nothing else."""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence

import msgspec

from harness.gateway.honouring import check_calls, example, honoured, shortened
from harness.gateway.messages import ModelRequest, OfferedTool, Reply, ReplyToolCall, TokenCounts, pseudo_count
from harness.gateway.provider import Answer, AnswerError, Call, StreamCut
from harness.gateway.script import Fail, Script, ScriptedTurn
from harness.gateway.tool_mapping import UnknownTool, is_offered, map_call
from harness.gateway.wires.base import Wire, dumps, identified

CLOSING = ScriptedTurn(text="Done.")
"""Played beyond the script's end."""

SIDE = ScriptedTurn(text="Scripted session")
"""The answer to a side request. Scripts do not have these."""

HTML = b"<!DOCTYPE html><html><head><title>Sign in</title></head><body>Please sign in.</body></html>"


class ScriptedProvider:
    """Plays `script` for one case.

    The number of model turns in the request says which turn to play, so a retry plays the same turn again. The provider
    only remembers how often each failing turn has failed, and how many completions a session without tools has had.
    """

    def __init__(self, script: Script) -> None:
        self._script = script
        self._failures: Counter[int] = Counter()
        self._completions = 0

    async def answer(self, call: Call) -> Answer:
        """Play the turn. Raise `AnswerError` 400 if the turn is not what the request wants, or needs."""
        request = call.request
        turn = (
            _side(request) if request.side else self._completion(request) if request.toolless else self._turn(request)
        )
        await asyncio.sleep(turn.delay_s)
        fail = turn.fail if turn.fail and self._fails(turn.fail) else None
        if fail and fail.status is not None:
            return _refusal(call.wire, fail.status, fail)
        self._completions += request.toolless and fail is None
        reply = _reply(honoured(turn, request), call)
        if request.stream:
            reported = msgspec.structs.replace(request, stream_usage=True)
            chunks, kind = list(call.wire.events(reply, reported)), "text/event-stream; charset=utf-8"
        else:
            chunks, kind = [dumps(call.wire.render(reply)).encode()], "application/json"
        return _spoilt(fail, chunks, kind) if fail else _answer(200, kind, chunks)

    async def count_tokens(self, call: Call) -> int:
        """Return the pseudo-count of the request."""
        return pseudo_count(call.body)

    def _turn(self, request: ModelRequest) -> ScriptedTurn:
        turns = _playable(self._script.played_in(request.opening), request.tools)
        return turns[request.turn] if request.turn < len(turns) else CLOSING

    def _completion(self, request: ModelRequest) -> ScriptedTurn:
        """Return the next turn of a session without tools: those that write files, and those without calls."""
        turns = [turn for turn in self._script.played_in(request.opening) if not turn.calls or _writes(turn)]
        return _in_words(turns[self._completions]) if self._completions < len(turns) else CLOSING

    def _fails(self, fail: Fail) -> bool:
        """Return whether this turn fails once more. Each turn has its own count."""
        self._failures[id(fail)] += 1
        return fail.times is None or self._failures[id(fail)] <= fail.times


def _side(request: ModelRequest) -> ScriptedTurn:
    wanted = request.wanted
    return ScriptedTurn(json=example(wanted.schema, SIDE.text or "")) if wanted.json else SIDE


def _writes(turn: ScriptedTurn) -> bool:
    return any(call.write is not None for call in turn.calls)


def _in_words(turn: ScriptedTurn) -> ScriptedTurn:
    """Return the turn as a text alone: each file that it writes is a code block that begins with the file's name."""
    shown = [_code_block(call.write, call.content or "") for call in turn.calls if call.write is not None]
    text = "\n\n".join([turn.text or "", *shown]).strip() if shown else turn.text
    return msgspec.structs.replace(turn, text=text, calls=())


def _code_block(name: str, content: str) -> str:
    longest = max(map(len, re.findall("`+", content)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}python\n# file: {name}\n{content.rstrip()}\n{fence}"


def _playable(turns: Iterable[ScriptedTurn], tools: Sequence[OfferedTool]) -> list[ScriptedTurn]:
    """Return the turns without optional calls to tools that are not offered. Drop a turn that has only such calls."""
    playable = []
    for turn in turns:
        calls = tuple(call for call in turn.calls if not call.optional or is_offered(call, tools))
        if len(calls) == len(turn.calls):
            playable.append(turn)
        elif calls:
            playable.append(msgspec.structs.replace(turn, calls=calls))
    return playable


def _reply(turn: ScriptedTurn, call: Call) -> Reply:
    """Return the turn as a reply that calls tools of the request. Raise `AnswerError` 400 if it lacks a tool."""
    try:
        mapped = [map_call(scripted, call.request.tools, call.workspace) for scripted in turn.calls]
    except UnknownTool as error:
        raise AnswerError(400, str(error)) from None
    text = turn.text if turn.text is not None or turn.calls else CLOSING.text
    said = (text or "") + "".join(name + dumps(dict(arguments)) for name, arguments in mapped)
    reply = Reply(
        id=f"msg_{uuid.uuid4().hex}",
        created=int(time.time()),
        model=call.request.model,
        text=text or "",
        calls=tuple(ReplyToolCall(f"call_{uuid.uuid4().hex}", name, arguments) for name, arguments in mapped),
        truncated=turn.truncated,
        usage=turn.usage
        or TokenCounts(input_tokens=pseudo_count(call.body), output_tokens=pseudo_count(said.encode())),
    )
    check_calls(reply, call.request.wanted)
    return reply if turn.usage else shortened(reply, call.request.max_output)


async def _send(chunks: Iterable[bytes], *, cut: bool = False, hang: bool = False) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk
    if hang:  # until the client or the session goes away
        await asyncio.Event().wait()
    if cut:
        raise StreamCut("the script cuts the answer off here")


def _answer(status: int, kind: str, chunks: list[bytes], **ends: bool) -> Answer:
    return Answer(status=status, headers={"content-type": kind}, chunks=_send(chunks, **ends))


def _refusal(wire: Wire, status: int, fail: Fail) -> Answer:
    error = wire.error(status, fail.message or f"the script answers {status} here")
    headers = {"content-type": "application/json", **identified(wire, error)}
    if fail.retry_after is not None:
        headers["retry-after"] = f"{fail.retry_after:g}"
    return Answer(status=status, headers=headers, chunks=_send([dumps(error).encode()]))


def _spoilt(fail: Fail, chunks: list[bytes], kind: str) -> Answer:
    """Return the answer, which fails as the script says. Without streaming, a cut answer breaks off in its middle."""
    if fail.html:
        return _answer(200, "text/html; charset=utf-8", [HTML])
    if fail.malformed:
        first = chunks[0]
        return _answer(200, kind, [first[: len(first) // 2] + b"\n\n"])
    hang = fail.hang_after is not None
    end = fail.hang_after if hang else fail.cut_after
    sent = chunks[:end] if len(chunks) > 1 else [chunks[0][: len(chunks[0]) // 2]]
    return _answer(200, kind, sent, cut=not hang, hang=hang)
