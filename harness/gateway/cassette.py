"""Cassettes: a model's answers in one session, recorded in a file and played again without the model.

The first line says what was recorded. Every other line is the answer to one model request. A replay shows that a CLI,
its adapter and the wires still work with a real model's answers. It does not measure the model.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import Self

import msgspec
from msgspec import Struct

from harness.gateway.messages import ModelRequest, pseudo_count
from harness.gateway.provider import Answer, AnswerError, Call, Provider, StreamCut
from harness.gateway.wires.reader import Reader

_KEPT = ("content-type", "retry-after")
"""The headers of an answer that are recorded. Others may name an account."""


class CassetteError(Exception):
    """A cassette cannot be played. The message names the file and says what to do."""


class Head(Struct, frozen=True, kw_only=True):
    """What was recorded: the model, by name and digest, the wire, and the workspace's path as the CLI saw it.

    The workspace is known after the first request.
    """

    cassette: int = 1
    model: str
    digest: str | None = None
    wire: str
    workspace: str = ""


class Take(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer to the request of a turn, or to a `side` request.

    `conversation` is the digest of the conversation's opening, which tells a subagent's turns from the main agent's.
    The body is `text`, or `data` (in base64) if it is not text. `cut` says how it broke off. If the provider raised an
    error, `error` holds it, and there is no body.
    """

    turn: int
    conversation: str = ""
    side: bool = False
    status: int = 200
    headers: dict[str, str] = {}
    text: str | None = None
    data: bytes | None = None
    cut: str | None = None
    error: str | None = None


class Tape:
    """A cassette that is being recorded. The first take replaces an older cassette. Without a take, that one stays."""

    def __init__(self, path: Path, head: Head) -> None:
        self._path = path
        self._head = head
        self._begun = False

    def add(self, take: Take, workspace: str) -> None:
        """Record one more answer in a session with this workspace. Raise `OSError` if the file cannot be written."""
        lines = [take] if self._begun else [msgspec.structs.replace(self._head, workspace=workspace), take]
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab" if self._begun else "wb") as file:
            file.write(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
        self._begun = True


class Recorder:
    """Answers as `provider` does, and records each answer, except those that the CLI did not wait for."""

    def __init__(self, provider: Provider, tape: Tape) -> None:
        self._provider = provider
        self._tape = tape
        self._held = AsyncExitStack()

    async def __aenter__(self) -> Self:
        if isinstance(self._provider, AbstractAsyncContextManager):
            await self._held.enter_async_context(self._provider)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._held.aclose()

    async def answer(self, call: Call) -> Answer:
        """See `Provider.answer`."""
        take = Take(turn=call.request.turn, conversation=_digest(call.request), side=call.request.side)
        try:
            answer = await self._provider.answer(call)
        except AnswerError as error:
            self._tape.add(msgspec.structs.replace(take, status=error.status, error=str(error)), call.workspace)
            raise
        headers = {name: value for name, value in answer.headers.items() if name in _KEPT}
        take = msgspec.structs.replace(take, status=answer.status, headers=headers)
        return msgspec.structs.replace(answer, chunks=self._heard(call, take, answer))

    async def count_tokens(self, call: Call) -> int:
        """See `Provider.count_tokens`."""
        return await self._provider.count_tokens(call)

    async def _heard(self, call: Call, take: Take, answer: Answer) -> AsyncIterator[bytes]:
        body, reader = bytearray(), Reader(call.wire, streamed=answer.is_streamed)
        try:
            async for chunk in answer.chunks:
                body += chunk
                reader.feed(chunk)
                yield chunk
        except Exception as error:
            self._tape.add(_with_body(take, bytes(body), cut=str(error)), call.workspace)
            raise
        except BaseException:  # the CLI went away, as some do after they have read the end
            if reader.outcome.complete:
                self._tape.add(_with_body(take, bytes(body)), call.workspace)
            raise
        self._tape.add(_with_body(take, bytes(body)), call.workspace)


def _with_body(take: Take, body: bytes, cut: str | None = None) -> Take:
    try:
        return msgspec.structs.replace(take, text=body.decode(), cut=cut)
    except UnicodeDecodeError:
        return msgspec.structs.replace(take, data=body, cut=cut)


class Cassette(Struct, frozen=True):
    """A recorded session."""

    path: Path
    head: Head
    takes: tuple[Take, ...]


def load_cassette(path: Path) -> Cassette:
    """Read a cassette. Raise `CassetteError`."""
    try:
        head, *takes = path.read_bytes().splitlines()
        return Cassette(
            path,
            msgspec.json.decode(head, type=Head),
            tuple(msgspec.json.decode(take, type=Take) for take in takes),
        )
    except OSError as error:
        raise CassetteError(f"{path}: {error.strerror}; record it with pytest --record-cassettes") from error
    except (ValueError, msgspec.MsgspecError) as error:
        raise CassetteError(
            f"{path}: not a cassette: {error}; record it again with pytest --record-cassettes"
        ) from error


class CassettePlayer:
    """Answers each request of a turn as in the recorded session: byte for byte, but all at once.

    Requests of the same turn, such as retries, get the recorded answers in order, and then the last one again. A
    conversation is played as the recorded one with the same opening. An opening may differ from the recorded one, for
    example by a date. Such a conversation is played as the first recorded one that no other conversation plays.
    """

    def __init__(self, cassette: Cassette) -> None:
        self._name = cassette.path.name
        self._takes = defaultdict[tuple[bool, str, int], deque[Take]](deque)
        self._recorded = {side: list(dict.fromkeys(_conversations(cassette, side))) for side in (False, True)}
        self._played: dict[tuple[bool, str], str] = {}
        for take in cassette.takes:
            self._takes[take.side, take.conversation, take.turn].append(take)

    async def answer(self, call: Call) -> Answer:
        """Play the recorded answer. Raise `AnswerError` 400 for a turn that the recorded session did not have."""
        request = call.request
        takes = self._takes.get((request.side, self._conversation(request), request.turn))
        if takes is None:
            what = "side request" if request.side else "request"
            raise AnswerError(
                400,
                f"cassette {self._name} has no {what} of turn {request.turn}: this session differs from the recorded "
                f"one; record it again with pytest --record-cassettes",
            )
        take = takes.popleft() if len(takes) > 1 else takes[0]
        if take.error is not None:
            raise AnswerError(take.status, take.error)
        return Answer(status=take.status, headers=take.headers, chunks=_played(take))

    def _conversation(self, request: ModelRequest) -> str:
        """Return the recorded conversation that this request's conversation is played as."""
        digest, recorded = _digest(request), self._recorded[request.side]
        key = request.side, digest
        if key not in self._played:
            taken = {name for (side, _), name in self._played.items() if side is request.side}
            free = [name for name in recorded if name not in taken] or recorded
            self._played[key] = digest if digest in recorded else next(iter(free), digest)
        return self._played[key]

    async def count_tokens(self, call: Call) -> int:
        """Return a pseudo-count, because cassettes hold no counts."""
        return pseudo_count(call.body)


def _digest(request: ModelRequest) -> str:
    """Return a name for the request's conversation. A cassette must not hold the prompt itself."""
    return hashlib.sha256(request.opening.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _conversations(cassette: Cassette, side: bool) -> Iterator[str]:
    return (take.conversation for take in cassette.takes if take.side is side)


async def _played(take: Take) -> AsyncIterator[bytes]:
    body = take.data if take.text is None else take.text.encode()
    if body:
        yield body
    if take.cut is not None:
        raise StreamCut(take.cut)
