"""Plays a cassette to a session, as long as the session is like the recorded one."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import AsyncIterator

from harness.endings import ConfError
from harness.gateway.cassette import Cassette, Take, client_of
from harness.gateway.cassette_answers import Portable, is_plain, placed, room_of
from harness.gateway.cassette_shape import conversation_of, differences, different_results, missing, shape_of
from harness.gateway.messages import ModelRequest, pseudo_count
from harness.gateway.provider import Answer, AnswerError, Call, StreamCut
from harness.gateway.wires.reader import Reader


class CassettePlayer:
    """Answers each request of a turn as in the recorded session: byte for byte, but all at once.

    Requests of the same turn, such as retries, get the recorded answers in order, and then the last one again. A
    conversation is played as the recorded one with the same opening. If none has this opening, it is played as the most
    similar one that no other conversation plays.

    `misfit` is set once a request of a turn does not fit its recorded answer. It says what differs.
    """

    def __init__(self, cassette: Cassette) -> None:
        self._cassette = cassette
        self._takes = defaultdict[tuple[bool, str, int], deque[Take]](deque)
        self._played: dict[tuple[bool, str], str] = {}
        self.misfit: ConfError | None = None
        for take in cassette.takes:
            self._takes[take.side, take.conversation, take.turn].append(take)

    async def answer(self, call: Call) -> Answer:
        """Play the recorded answer. Raise `AnswerError` 400 if the request does not fit it, or if there is none."""
        request, room = call.request, room_of(call.workspace)
        takes = self._takes.get((request.side, self._conversation(request, room), request.turn))
        if takes is None:
            what = "side request" if request.side else "request"
            raise self._refused(call, f"has no {what} of turn {request.turn}")
        self._check(takes[0], call, room)
        take = takes.popleft() if len(takes) > 1 else takes[0]
        if take.error is not None:
            raise AnswerError(take.status, take.error)
        return Answer(status=take.status, headers=take.headers, chunks=_played(take, room))

    async def count_tokens(self, call: Call) -> int:
        """Return a pseudo-count, because cassettes hold no counts."""
        return pseudo_count(call.body)

    def _conversation(self, request: ModelRequest, room: str) -> str:
        """Return the recorded conversation that this request's conversation is played as."""
        digest = conversation_of(request, room)
        key = request.side, digest
        if key not in self._played:
            self._played[key] = self._most_similar(digest, request, room)
        return self._played[key]

    def _most_similar(self, digest: str, request: ModelRequest, room: str) -> str:
        side = request.side
        recorded = {take.conversation: take.asked for take in self._cassette.takes if take.side is side}
        if not recorded or digest in recorded:
            return digest
        taken = {name for (of_side, _), name in self._played.items() if of_side is side}
        free = [name for name in recorded if name not in taken] or list(recorded)
        opening = shape_of(request, room).opening
        return min(free, key=lambda name: missing(shape, opening) if (shape := recorded[name]) else 0)

    def _check(self, take: Take, call: Call, room: str) -> None:
        """Raise `AnswerError` if the request does not fit the take. Side requests and takes of version 1 fit any."""
        if take.mark is not None and not is_plain(room):
            raise self._refused(
                call,
                f"cannot be played in {room}: choose a folder whose path has only "
                "plain letters, digits and the signs /._-",
            )
        if take.asked is None:
            return
        request = call.request
        found = differences(take.asked, request, room, called=_called(take, call))
        found += different_results(take.failed, request.results)
        if found:
            raise self._refused(call, f"does not fit the request of turn {request.turn}: {'; '.join(found)}")

    def _refused(self, call: Call, why: str) -> AnswerError:
        head, client = self._cassette.head, client_of(call)
        clients = f" (recorded with {head.client}, played to {client})" if head.client not in {"", client} else ""
        said = f"cassette {self._cassette.path.name} {why}{clients}: this session differs from the recorded one; "
        error = ConfError(said + self._cassette.remedy)
        if not call.request.side:
            self.misfit = self.misfit or error
        return AnswerError(400, str(error))


def _called(take: Take, call: Call) -> tuple[str, ...]:
    """Return the names of the tools that an answer calls."""
    if take.text is None or take.status != 200:
        return ()
    reader = Reader(call.wire, streamed=take.headers.get("content-type", "").startswith("text/event-stream"))
    reader.feed(take.text.encode())
    reader.finish()
    return reader.outcome.tools_called


async def _played(take: Take, room: str) -> AsyncIterator[bytes]:
    body = take.data if take.text is None else placed(Portable(take.text, take.mark), room).encode()
    if body:
        yield body
    if take.cut is not None:
        raise StreamCut(take.cut)
