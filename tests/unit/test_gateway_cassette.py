"""A cassette replays a model's answers byte for byte, and nothing else."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.case import Case
from harness.conf_path import ConfPath
from harness.endings import ConfError
from harness.gateway.cassette import CassetteError, Head, Recorder, Tape, load_cassette
from harness.gateway.cassette_player import CassettePlayer
from harness.gateway.messages import ModelRequest, OfferedTool, RequestToolResult
from harness.gateway.provider import Answer, AnswerError, Call, Provider, StreamCut
from harness.gateway.script import Fail, Script, ScriptedCall, ScriptedTurn
from harness.gateway.scripted import ScriptedProvider
from harness.gateway.wires import anthropic_messages, google_generate, openai_chat, openai_responses
from harness.gateway.wires.base import Wire
from harness.models.cassettes import cassette_server, recorded
from harness.models.model_server import ModelServer
from harness.suite.config import load
from harness.suite.matrix import cases
from tests.support.project import CONF

WIRES = (anthropic_messages, google_generate, openai_chat, openai_responses)
WORKSPACE = "/room/workspace"
HEAD = Head(model="demo", wire="anthropic_messages")

Heard = tuple[int, Mapping[str, str], bytes]


def call(
    turn: int = 0,
    *,
    wire: Wire = anthropic_messages,
    stream: bool = True,
    side: bool = False,
    opening: str = "",
    tools: Sequence[OfferedTool] = (OfferedTool("bash"),),
    results: Sequence[RequestToolResult] = (),
    workspace: str = WORKSPACE,
    client: str = "cli/1.0",
) -> Call:
    request = ModelRequest(
        model="demo",
        stream=stream,
        tools=() if side else tuple(tools),
        turn=turn,
        opening=opening,
        results=tuple(results),
    )
    return Call(request=request, wire=wire, path="/", headers={"user-agent": client}, body=b"{}", workspace=workspace)


class Plays:
    """A provider that answers with these chunks."""

    def __init__(self, *chunks: bytes, status: int = 200, headers: Mapping[str, str] = {}) -> None:
        self._chunks, self._status, self._headers = chunks, status, headers

    async def answer(self, call: Call) -> Answer:
        return Answer(status=self._status, headers=self._headers, chunks=self._played())

    async def count_tokens(self, call: Call) -> int:
        return 7

    async def _played(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            yield chunk


def recorder(provider: Provider, path: Path) -> Recorder:
    return Recorder(provider, Tape(path, HEAD))


def player(path: Path) -> CassettePlayer:
    return CassettePlayer(load_cassette(path))


async def hear(provider: Provider, asked: Call) -> Heard:
    answer = await provider.answer(asked)
    return answer.status, answer.headers, b"".join([chunk async for chunk in answer.chunks])


def ask(provider: Provider, *asked: Call) -> list[Heard | str]:
    """Return the answer to each request, or the message of a failed one."""

    async def each() -> list[Heard | str]:
        heard: list[Heard | str] = []
        for one in asked:
            try:
                heard.append(await hear(provider, one))
            except (AnswerError, StreamCut) as error:
                heard.append(f"{type(error).__name__} {getattr(error, 'status', '')}: {error}")
        return heard

    return asyncio.run(each())


@settings(max_examples=50)  # it writes files
@given(chunks=st.lists(st.binary()), status=st.integers(200, 599))
def test_any_bytes_are_replayed_exactly(
    chunks: Sequence[bytes], status: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("tape") / "tape.jsonl"
    plays = Plays(*chunks, status=status, headers={"content-type": "text/event-stream", "set-cookie": "secret"})
    [heard] = ask(recorder(plays, path), call())
    assert isinstance(heard, tuple)
    assert heard[2] == b"".join(chunks)
    assert ask(player(path), call()) == [(status, {"content-type": "text/event-stream"}, heard[2])]
    assert b"secret" not in path.read_bytes()


@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.NAME)
@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
def test_every_turn_gets_its_own_answer_on_every_wire(wire: Wire, stream: bool, tmp_path: Path) -> None:
    script = Script(turns=(ScriptedTurn(text="Grüße"), ScriptedTurn(text="second")))
    asked = [call(turn, wire=wire, stream=stream, side=side) for turn, side in ((0, False), (0, True), (1, False))]
    path = tmp_path / "tape.jsonl"
    heard = ask(recorder(ScriptedProvider(script), path), *asked)
    assert ask(player(path), *reversed(asked)) == [_untimed(one) for one in heard[::-1]]
    assert "second" in path.read_text(), "people can read it"


def _untimed(heard: Heard | str) -> Heard:
    """Return the answer without the time at which it was made: cassettes do not keep it."""
    assert isinstance(heard, tuple)
    return heard[0], heard[1], re.sub(rb'"(created|created_at|completed_at)":\d+', rb'"\1":0', heard[2])


def test_a_failed_turn_fails_the_same_way_again_and_then_succeeds(tmp_path: Path) -> None:
    failing = ScriptedTurn(text="at last", fail=Fail(status=529, times=1, retry_after=3, message="busy"))
    path = tmp_path / "tape.jsonl"
    recording = recorder(ScriptedProvider(Script(turns=(failing,))), path)
    first, second = ask(recording, call(), call())
    assert isinstance(first, tuple)
    assert first[0] == 529
    assert first[1]["retry-after"] == "3"
    assert ask(player(path), call(), call(), call()) == [first, second, second]


def test_a_cut_answer_and_a_refused_request_are_replayed_too(tmp_path: Path) -> None:
    class Refuses(Plays):
        async def answer(self, call: Call) -> Answer:
            raise AnswerError(502, "nobody is there")

    cut = Script(turns=(ScriptedTurn(text="no end", fail=Fail(cut_after=1)),))
    path = tmp_path / "tape.jsonl"
    tape = Tape(path, HEAD)
    heard = [
        *ask(Recorder(ScriptedProvider(cut), tape), call(0)),
        *ask(Recorder(Refuses(), tape), call(1)),
    ]
    assert heard[1] == "AnswerError 502: nobody is there"
    assert ask(player(path), call(0), call(1)) == heard
    assert load_cassette(path).takes[0].text, "the part before the cut is there"


def test_an_answer_counts_once_the_cli_has_read_its_end_even_if_it_then_hangs_up(tmp_path: Path) -> None:
    script = Script(turns=(ScriptedTurn(text="one"), ScriptedTurn(text="two")))
    path = tmp_path / "tape.jsonl"
    recording = recorder(ScriptedProvider(script), path)

    async def hang_up(asked: Call, chunks: int | None) -> None:
        answer = await recording.answer(asked)
        body, read = b"", 0
        async for chunk in answer.chunks:
            body, read = body + chunk, read + 1
            if read == chunks or b"message_stop" in body:
                break
        await answer.chunks.aclose()  # type: ignore[attr-defined]  # it is a generator

    asyncio.run(hang_up(call(0), chunks=None))
    asyncio.run(hang_up(call(1), chunks=1))
    assert [take.turn for take in load_cassette(path).takes] == [0]


def test_a_session_that_diverges_gets_a_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "tape.jsonl"
    ask(recorder(Plays(b"x"), path), call(0))
    [said] = ask(player(path), call(3))
    assert said == (
        "AnswerError 400: cassette tape.jsonl has no request of turn 3: this session differs from the recorded one; "
        "record it again with `pytest --record-cassettes -k tape` and a suite that has this case"
    )


BASH = OfferedTool("bash", {"properties": {"command": {"type": "string"}}, "required": ["command"]})
OTHER_BASH = OfferedTool("bash", {"properties": {"cmd": {"type": "string"}}, "required": ["cmd"]})
REWORDED = OfferedTool("bash", {**BASH.schema, "description": "Runs a command"})
WRITE = OfferedTool("write", {"properties": {"path": {"type": "string"}}})
RUNS = Script(turns=(ScriptedTurn(calls=(ScriptedCall(run="ls"),)),))
DONE = RequestToolResult("c1", "fine")
FAILED = RequestToolResult("c1", "no such file", is_error=True)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"opening": "Solve it.\nBe quick."}, "its first message has lines that were not recorded ('Be quick.')"),
        ({"opening": "Dissolve it."}, "not recorded ('Dissolve it.'); its first message lacks 1 of the recorded lines"),
        ({"tools": (WRITE,)}, "it does not offer the tool bash, which the answer calls"),
        ({"tools": (OTHER_BASH, WRITE)}, "the tool bash, which the answer calls, takes other arguments"),
        ({"results": (FAILED,)}, "tool call 1 failed, unlike the recorded one: 'no such file'"),
        ({"results": ()}, "it has 0 results of tool calls, and 1 were recorded"),
    ],
)
def test_a_request_that_does_not_fit_its_answer_is_told_what_differs(
    tmp_path: Path, changed: Mapping[str, Any], said: str
) -> None:
    path = tmp_path / "claude-demo-maze.jsonl"
    asked: dict[str, Any] = {"opening": "Solve it.", "tools": (BASH, WRITE), "results": (DONE,)}
    ask(recorder(ScriptedProvider(RUNS), path), call(**asked))
    playing = player(path)
    [answer] = ask(playing, call(**{**asked, **changed}, client="cli/2.0"))
    assert said in answer
    assert "(recorded with cli/1.0, played to cli/2.0)" in answer
    assert "record it again with `pytest --record-cassettes -k claude-demo-maze`" in answer
    assert str(playing.misfit) in answer


@pytest.mark.parametrize(
    "changed",
    [
        {"client": "cli/2.0"},
        {"tools": (REWORDED, WRITE)},
        {"tools": (BASH, OfferedTool("new"))},
        {"workspace": "/another/place/workspace"},
        {"opening": "Solve it in 7 turns.\nToday is 2031-01-31.\nIt is in /another/place/home."},
    ],
    ids=["client", "reworded", "new tool", "place", "numbers"],
)
def test_a_request_that_only_looks_otherwise_is_answered(tmp_path: Path, changed: Mapping[str, Any]) -> None:
    path = tmp_path / "tape.jsonl"
    opening = f"Solve it in 50 turns.\nToday is 2026-11-26.\nIt is in {changed.get('workspace', WORKSPACE)[:-10]}/home."
    asked: dict[str, Any] = {"opening": opening.replace("/another/place", "/room"), "tools": (BASH, WRITE)}
    [heard] = ask(recorder(ScriptedProvider(RUNS), path), call(**asked))
    if "opening" in changed:
        changed = {**changed, "workspace": "/another/place/workspace"}
    playing = player(path)
    assert ask(playing, call(**{**asked, "opening": opening, **changed})) == [heard]
    assert playing.misfit is None


def test_a_cassette_names_a_script_as_its_source_and_is_not_taken_for_a_models(tmp_path: Path) -> None:
    conf = ConfPath.of(tmp_path)
    ask(recorded(msgspec.structs.replace(plays(), stand_in=True), case(), conf).provider(), call())
    assert cassette_server(case(), conf).played_from == "the stand-in scripted (a script, not a model)"
    replayed = recorded(cassette_server(case(), conf), case(), conf)
    ask(replayed.provider(), call())
    [head] = [load_cassette(path).head for path in tmp_path.rglob("*.jsonl")]
    assert head.stand_in, "a recording of a replay is the stand-in's, too"


def test_the_answers_of_a_place_that_a_shell_cannot_name_are_played_there_only(tmp_path: Path) -> None:
    conf, odd = ConfPath.of(tmp_path), "/a room/workspace"
    ask(recorded(plays(b"/a room/workspace"), case(), conf).provider(), call(workspace=odd))
    with pytest.raises(ConfError, match="was recorded in the workspace /a room/workspace"):
        cassette_server(case(), conf).require_workspace(WORKSPACE)
    ask(recorded(plays(b"/room/workspace"), case(), conf).provider(), call())
    [said] = ask(cassette_server(case(), conf).provider(), call(workspace=odd))
    assert "cannot be played in /a room: choose a folder whose path has only" in said


def test_a_cassette_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tape.jsonl"
    path.write_text('{"cassette":3,"model":"demo","wire":"anthropic_messages"}\n')
    with pytest.raises(CassetteError, match=r"tape\.jsonl: a newer version of Proctor recorded it; record it again"):
        load_cassette(path)


@pytest.mark.parametrize(
    ("content", "what"),
    [(None, "No such file"), (b"", "not a cassette"), (b"{}\n", "not a cassette"), (b"x", "not a cassette")],
)
def test_a_file_that_is_not_a_cassette_is_named_with_the_remedy(
    tmp_path: Path, content: bytes | None, what: str
) -> None:
    path = tmp_path / "tape.jsonl"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CassetteError, match=rf"tape\.jsonl: {what}.*--record-cassettes"):
        load_cassette(path)


def case(**changes: object) -> Case:
    return msgspec.structs.replace(cases(load(CONF, "smoke"))[0], **changes)


def plays(text: bytes = b"x") -> ModelServer:
    provider = Plays(text)
    return ModelServer("scripted", lambda: provider, "sha256:0")


def test_the_first_replicate_of_a_case_is_recorded_with_all_its_attempts(tmp_path: Path) -> None:
    conf, server = ConfPath.of(tmp_path), plays()
    assert recorded(server, case(replicate=2), conf) is server
    recording = recorded(server, case(), conf)
    ask(recording.provider(), call(0))
    ask(recording.provider(), call(1))
    tape = load_cassette(tmp_path / "conf/cassettes/claude-scripted-small_maze.jsonl")
    head = Head(model="scripted", digest="sha256:0", wire="anthropic_messages", client="cli/1.0")
    assert tape.head == head
    assert [take.turn for take in tape.takes] == [0, 1]


def test_a_session_without_an_answer_keeps_the_existing_cassette(tmp_path: Path) -> None:
    path = tmp_path / "conf/cassettes/claude-scripted-small_maze.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text("what was there")

    def fails() -> Provider:
        raise ConfError("no such model")

    with pytest.raises(ConfError):
        recorded(ModelServer("scripted", fails), case(), ConfPath.of(tmp_path)).provider()
    recording = recorded(plays(), case(), ConfPath.of(tmp_path)).provider()
    assert path.read_text() == "what was there"
    ask(recording, call())
    assert [take.text for take in load_cassette(path).takes] == ["x"]


def test_a_cassette_is_only_replayed_the_way_it_was_recorded(tmp_path: Path) -> None:
    conf = ConfPath.of(tmp_path)
    with pytest.raises(ConfError, match=r"claude-scripted-small_maze\.jsonl: No such file"):
        cassette_server(case(), conf)
    ask(recorded(plays(), case(), conf).provider(), call())
    replayed = cassette_server(case(), conf)
    assert (replayed.digest or "").startswith("sha256:")
    assert ask(replayed.provider(), call()) == [(200, {}, b"x")]
    replayed.require_workspace("/any/other")
    with pytest.raises(ConfError, match="was recorded over anthropic_messages, but the case uses openai_chat"):
        cassette_server(case(wire="openai_chat"), conf)


def test_a_cassette_of_an_earlier_version_is_replayed(tmp_path: Path) -> None:
    path = tmp_path / "tape.jsonl"
    path.write_text(
        '{"cassette":1,"model":"demo","digest":null,"wire":"anthropic_messages","workspace":"/room/workspace"}\n'
        '{"turn":0,"headers":{"content-type":"text/plain"},"text":"hello"}\n'
    )
    assert load_cassette(path).head.workspace == WORKSPACE
    assert ask(player(path), call()) == [(200, {"content-type": "text/plain"}, b"hello")]


def test_a_subagent_gets_its_own_recorded_answers(tmp_path: Path) -> None:
    path = tmp_path / "tape.jsonl"
    tape = Tape(path, HEAD)
    main, sub = (call(opening=opening) for opening in ("Solve it. It is Monday.", "Count the files."))
    for asked, text in ((main, b"main"), (sub, b"sub")):
        ask(Recorder(Plays(text), tape), asked)
    assert "Monday" not in path.read_text(), "a cassette holds answers only"
    answers: list[Heard] = [(200, {}, b"sub"), (200, {}, b"main")]
    assert ask(player(path), sub, main) == answers
    assert ask(player(path), call(opening="Solve it. It is Tuesday."), sub, main) == [*answers[::-1], answers[1]]
