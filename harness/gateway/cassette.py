"""Cassettes: the answers of one session, recorded in a file and played again without whoever gave them.

The first line says what was recorded. Every other line is the answer to one model request. A replay shows that a CLI,
its adapter and the wires still work with these answers. It does not measure the model. A cassette fits any machine,
user, run folder and day (`harness.gateway.cassette_answers`, `harness.gateway.cassette_shape`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from harness.gateway.cassette_answers import is_plain, portable, room_of
from harness.gateway.cassette_shape import Shape, conversation_of, shape_of
from harness.gateway.provider import Answer, AnswerError, Call, Provider, Wrapper
from harness.gateway.wires.reader import Reader

VERSION: Final = 2
"""The version of the format. Cassettes of version 1 say nothing of their requests, and fit one workspace only."""

_KEPT: Final = ("content-type", "retry-after", "request-id")
"""The headers of an answer that are recorded. An error has its id in the body too. Others may name an account."""


class CassetteError(Exception):
    """A cassette cannot be played. The message names the file and says what to do."""


class Head(Struct, frozen=True, kw_only=True):
    """What was recorded: the model, by name and digest, the wire, and the client as it names itself.

    `stand_in` is true if a script gave the answers and no model. `workspace` is the path of the workspace as the CLI
    saw it, if the answers fit no other one. Client and workspace are known after the first request.
    """

    cassette: int = VERSION
    stand_in: bool = False
    model: str
    digest: str | None = None
    wire: str
    client: str = ""
    workspace: str = ""

    @property
    def source(self) -> str:
        """Whose answers these are, for people."""
        return f"the stand-in {self.model} (a script, not a model)" if self.stand_in else f"the model {self.model}"


class Take(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer to the request of a turn, or to a `side` request.

    `conversation` is the digest of the conversation's opening, which tells a subagent's turns from the main agent's.
    `asked` is the shape of the request. It is `None` if it is that of the conversation's previous take. `failed` says
    of each result of a tool call in the request whether it was an error.

    The body is `text`, or `data` (in base64) if it is not text. `mark` stands for the room in the text. `cut` says how
    it broke off. If the provider raised an error, `error` holds it, and there is no body.
    """

    turn: int
    conversation: str = ""
    side: bool = False
    asked: Shape | None = None
    failed: tuple[bool, ...] = ()
    status: int = 200
    headers: dict[str, str] = {}
    mark: str | None = None
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
        self._asked: dict[tuple[bool, str], Shape | None] = {}

    def add(self, take: Take, call: Call) -> None:
        """Record one more answer. Raise `OSError` if the file cannot be written."""
        key = take.side, take.conversation
        if self._asked.get(key) == take.asked:
            take = msgspec.structs.replace(take, asked=None)
        else:
            self._asked[key] = take.asked
        lines = [take] if self._begun else [self._known(call), take]
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab" if self._begun else "wb") as file:
            file.write(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
        self._begun = True

    def _known(self, call: Call) -> Head:
        workspace = "" if is_plain(room_of(call.workspace)) else call.workspace
        return msgspec.structs.replace(self._head, workspace=workspace, client=client_of(call))


class Recorder(Wrapper):
    """Answers as `provider` does, and records each answer, except those that the CLI did not wait for."""

    def __init__(self, provider: Provider, tape: Tape) -> None:
        super().__init__(provider)
        self._tape = tape

    async def answer(self, call: Call) -> Answer:
        """See `Provider.answer`."""
        take = _asked(call)
        try:
            answer = await self._provider.answer(call)
        except AnswerError as error:
            self._tape.add(msgspec.structs.replace(take, status=error.status, error=str(error)), call)
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
            self._tape.add(_with_body(take, call, bytes(body), cut=str(error)), call)
            raise
        except BaseException:  # the CLI went away, as some do after they have read the end
            if reader.outcome.complete:
                self._tape.add(_with_body(take, call, bytes(body)), call)
            raise
        self._tape.add(_with_body(take, call, bytes(body)), call)


def client_of(call: Call) -> str:
    """Return how the client names itself and its version, without what it tells of its machine."""
    return call.headers.get("user-agent", "").partition(" (")[0]


def _asked(call: Call) -> Take:
    """Return what is kept of a request, as a take without an answer."""
    request, room = call.request, room_of(call.workspace)
    return Take(
        turn=request.turn,
        conversation=conversation_of(request, room),
        side=request.side,
        asked=None if request.side else shape_of(request, room),
        failed=tuple(result.is_error for result in request.results),
    )


def _with_body(take: Take, call: Call, body: bytes, cut: str | None = None) -> Take:
    room = room_of(call.workspace)
    try:
        answer = portable(body.decode(), room if is_plain(room) else "", call.wire.NAME)
    except UnicodeDecodeError:
        return msgspec.structs.replace(take, data=body, cut=cut)
    return msgspec.structs.replace(take, text=answer.text, mark=answer.mark, cut=cut)


class Cassette(Struct, frozen=True):
    """A recorded session. Each take of a turn has the shape of its request, unless the cassette is of version 1."""

    path: Path
    head: Head
    takes: tuple[Take, ...]

    @property
    def remedy(self) -> str:
        """How to record it again, as the end of a message."""
        return remedy(self.path)


def remedy(path: Path) -> str:
    """Return how to record a cassette again, as the end of a message."""
    return f"record it again with `pytest --record-cassettes -k {path.stem}` and a suite that has this case"


def load_cassette(path: Path) -> Cassette:
    """Read a cassette. Raise `CassetteError`."""
    try:
        first, *others = path.read_bytes().splitlines()
        head = msgspec.json.decode(first, type=Head)
        takes = tuple(_whole(msgspec.json.decode(take, type=Take) for take in others))
    except OSError as error:
        raise CassetteError(f"{path}: {error.strerror}; {remedy(path)}") from error
    except (ValueError, msgspec.MsgspecError) as error:
        raise CassetteError(f"{path}: not a cassette: {error}; {remedy(path)}") from error
    if head.cassette > VERSION:
        raise CassetteError(f"{path}: a newer version of Proctor recorded it; {remedy(path)}")
    return Cassette(path, head, takes)


def _whole(takes: Iterable[Take]) -> Iterator[Take]:
    """Yield the takes, each with the shape of its request."""
    known: dict[tuple[bool, str], Shape | None] = {}
    for take in takes:
        key = take.side, take.conversation
        known[key] = take.asked or known.get(key)
        yield msgspec.structs.replace(take, asked=known[key])
