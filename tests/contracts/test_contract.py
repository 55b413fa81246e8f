"""The contract: what every backend promises, tested with its real CLI in the real sandbox.

A clause that needs a missing capability is left out at collection. Many clauses share one rich `session`. The others
play their own sessions.
"""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import msgspec
import psutil
import pytest

from backends.events import Text, ToolResult
from backends.registry import backend, names
from harness.agent.cli import pinned_version
from harness.agent.driver import Progress
from harness.agent.reconcile import reconcile
from harness.case import Limits, Price
from harness.case_folder import CaseFolder
from harness.endings import Ending
from harness.environment_conf import TOOLS
from harness.gateway.messages import TokenCounts
from harness.gateway.script import Fail, Script, ScriptedCall, ScriptedTurn
from harness.mcp.server import McpServer
from harness.sandbox.paths import program_paths
from harness.transcript.read import read_transcripts
from tests.contracts import canaries, rich
from tests.contracts.rich import Rich, capable, together
from tests.support.sessions import Play, Played, Stage, installed
from tests.support.words import words

pytestmark = pytest.mark.contract

KNOWN = [(name, model) for name in names() for model in words(name).known_models]

with_mcp = pytest.mark.parametrize("session", rich.sessions("mcp"), indirect=True)
with_subagents = pytest.mark.parametrize("session", rich.sessions("subagents"), indirect=True)
with_all_shown = pytest.mark.parametrize("session", rich.sessions(hides_subagents=False), indirect=True)

DEADLINE_S = 60.0
"""What a failure may cost on a slow machine; the detectors below are set to a few seconds."""

QUICK = Limits(turns=20, wall_s=90, idle_s=60, first_byte_s=4, stalled_s=4, failed_requests=2, grace_s=2)

ECHO = ScriptedTurn(calls=(ScriptedCall(run="echo once more"),), usage=TokenCounts(input_tokens=600, output_tokens=60))


# Starting


@pytest.mark.parametrize("name", [name for name in names() if pinned_version(backend(name).installation)])
def test_the_cli_has_the_pinned_version(name: str, clis: Path | None) -> None:
    if clis is not None:
        pytest.skip("other versions than the pinned ones are tested")
    adapter = backend(name)
    assert installed(adapter).version == pinned_version(adapter.installation)


@pytest.mark.parametrize("name", names())
def test_the_cli_starts_and_tells_its_version(name: str, stage: Stage, sessions: Path, clis: Path | None) -> None:
    cli = installed(backend(name), clis)
    place = stage.dirs(sessions / f"{name}-version", program_paths(cli.executable))
    ran = place.run([*cli.runner, str(cli.executable), "--version"], cli.environment)
    assert cli.version in (ran.stdout + ran.stderr).decode()  # mini tells it, and exits with 2


def test_the_session_reaches_its_end(session: Rich) -> None:
    result = session.played.result
    assert (result.ending, result.exit_code) == (Ending.FINISHED, 0), result.explanation
    assert result.metered.requests == result.metered.turns + result.metered.side_requests


def test_the_transcript_shows_the_turns_and_calls_of_the_script(session: Rich) -> None:
    [transcript] = read_transcripts(CaseFolder(session.played.folder), session.backend)
    turns = transcript.thread.turns
    script = rich.turns(session.backend)
    numbers = [turn.number for turn in turns if turn.number is not None]
    assert numbers == sorted(set(numbers)), "the turns of subagents count, too"
    shown = dict(zip(script, turns, strict=True))
    assert [turn.text for turn in turns if turn.text] == list(rich.SAID)
    may_be_hidden = {"unknown", "wrong", "invalid"} if session.backend.quirks.hides_refused_calls else set()
    calls = {name: len(turn.calls) for name, turn in shown.items() if name not in may_be_hidden}
    assert calls == {name: len(script[name].calls) for name in calls}
    assert "from the shell: Ελλάδα" in "".join(call.result.output for call in shown["first"].calls if call.result)
    assert all(turn.metered for turn in turns)


# Secrets


def test_the_prompt_goes_to_the_model_and_into_no_command_line_or_environment(session: Rich) -> None:
    assert rich.PROMPT in session.requests[0].opening
    assert len(session.command_lines) >= 2
    assert len(session.environments) >= 1
    for seen in (*session.command_lines, *session.environments, session.results("look")[1].text):
        assert rich.PASSWORD not in seen


def test_no_secret_of_the_host_is_in_a_command_line_or_an_environment(session: Rich) -> None:
    seen = "\n".join([*session.command_lines, *session.environments, session.results("look")[1].text])
    assert "sealed" in seen or "PATH=" in seen
    assert canaries.found_in(seen.encode()) == set()


def test_nothing_of_the_hosts_configuration_reaches_the_model(session: Rich) -> None:
    for call in session.played.requests:
        sent = b"\n".join([call.path.encode(), json.dumps(dict(call.headers)).encode(), call.body])
        assert canaries.found_in(sent) == set()
        assert rich.PASSWORD.encode() in call.body or rich.SUBTASK.encode() in call.body  # it is the body


# Tools


@with_mcp
def test_tools_of_an_mcp_server_are_offered_on_the_first_turn_and_named_as_promised(session: Rich) -> None:
    offered = {tool.name for tool in session.requests[0].tools}
    assert {session.backend.tool_name(McpServer.name, tool) for tool in TOOLS} <= offered


def test_the_cli_offers_only_tools_that_its_adapter_names(session: Rich) -> None:
    builtin = session.backend.builtin_tools({})
    tools = TOOLS if session.backend.capabilities.mcp else ()
    mcp = {session.backend.tool_name(McpServer.name, tool) for tool in tools}
    assert builtin is not None
    assert {tool.name for call in session.played.requests for tool in call.request.tools} <= builtin | mcp


def test_file_and_shell_tools_work_together_on_the_first_turn(session: Rich) -> None:
    written, ran, *_ = session.results("first")
    assert (session.played.workspace / rich.FILE).read_text() == rich.CONTENT
    assert not written.is_error
    assert "from the shell: Ελλάδα" in ran.text
    assert len(session.results("first")) == len(rich.turns(session.backend)["first"].calls)


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_the_agent_can_commit_its_work(session: Rich) -> None:
    _, _, committed = session.results("look")
    assert not committed.is_error
    assert "agent <agent@localhost>, committed by agent" in committed.text


@with_mcp
def test_an_mcp_tool_works_on_the_first_turn_with_other_tools(session: Rich) -> None:
    seen = session.results("first")[2]
    assert not seen.is_error
    assert "state: {" in seen.text


@pytest.mark.parametrize(("name", "model"), KNOWN)
def test_models_that_the_cli_knows_are_offered_the_same_mcp_tools(
    name: str, model: str, stage: Stage, sessions: Path
) -> None:
    look = ScriptedTurn(calls=(ScriptedCall(mcp="render_state", arguments={"seed": 3}),))
    play = Play(script=Script((look, ScriptedTurn(text="Done."))), limits=QUICK, model=model)
    adapter, played = backend(name), stage.play(backend(name), sessions / f"{name}-{model}", play)
    assert played.result.ending is Ending.FINISHED, played.result.explanation
    offered = {tool.name for tool in played.requests[0].request.tools}
    assert {adapter.tool_name(McpServer.name, tool) for tool in TOOLS} <= offered
    assert reconcile(played.result.session, played.result.metered, quirks=adapter.quirks, stopped=False) == []


@with_subagents
def test_a_subagent_works_and_its_answer_comes_back(session: Rich) -> None:
    asked = [rich.SUBTASK in call.request.opening for call in session.played.requests]
    assert any(asked)
    assert rich.SUBREPLY.encode() in session.last.body


def test_other_alphabets_survive_in_both_directions(session: Rich) -> None:
    assert rich.CONTENT.strip() in session.results("look")[0].text
    said = "".join(event.text for event in session.events() if isinstance(event, Text))
    assert all(text in said for text in rich.SAID)


def test_a_huge_output_is_cut_and_the_session_continues(session: Rich) -> None:
    (result,) = session.results("huge")
    assert 0 < len(result.text) < 100_000


@pytest.mark.parametrize("turn", ["unknown", "wrong", "invalid"])
def test_an_impossible_call_is_answered_and_the_session_continues(session: Rich, turn: str) -> None:
    (result,) = session.results(turn)
    assert result.text


# The stream


def test_the_stream_has_no_unknown_event_and_no_malformed_line(session: Rich) -> None:
    read = session.played.result.session
    assert (read.unknown_sample, read.malformed_sample) == (None, None)


def test_each_tool_result_belongs_to_a_call(session: Rich) -> None:
    read = session.played.result.session
    assert (read.unpaired_results, read.open_calls) == (0, 0)
    assert read.tool_results == sum(isinstance(event, ToolResult) for event in session.events())


def test_the_cli_reports_what_the_gateway_metered(session: Rich) -> None:
    result = session.played.result
    differences = reconcile(result.session, result.metered, quirks=session.backend.quirks, stopped=False)
    assert [one for one in differences if one.explained is None] == []


@with_all_shown
def test_a_cli_that_shows_all_its_turns_reports_exactly_what_the_gateway_metered(session: Rich) -> None:
    result = session.played.result
    assert reconcile(result.session, result.metered, quirks=session.backend.quirks, stopped=False) == []


# Limits


LIMITED = {
    "turns": (msgspec.structs.replace(QUICK, turns=2), Ending.TURN_LIMIT),
    "tokens": (msgspec.structs.replace(QUICK, tokens=1000), Ending.TOKEN_LIMIT),
    "cost": (msgspec.structs.replace(QUICK, cost_usd=0.001), Ending.COST_LIMIT),
}
"""Each response uses 660 tokens and, at the price below, 0.00066 US dollars. So the second response exceeds the limit.

A token limit then ends the session at once. A cost limit ends it at the third request, which is refused.
"""


@pytest.mark.parametrize("limit", LIMITED)
@pytest.mark.parametrize("name", names())
def test_a_limit_holds_exactly(name: str, limit: str, stage: Stage, sessions: Path) -> None:
    limits, ending = LIMITED[limit]
    play = Play(script=Script((ECHO,) * 12), limits=limits, price=Price(input=1.0, output=1.0))
    result = stage.play(backend(name), sessions / f"{name}-{limit}", play).result
    assert result.ending is ending, result.explanation
    assert result.metered.turns == 2
    assert 1 <= result.session.turns <= 2  # a stopped CLI may not have reported its last turn


@pytest.mark.parametrize("name", names())
def test_the_limit_on_output_holds(name: str, stage: Stage, sessions: Path) -> None:
    play = Play(script=Script((ECHO,) * 12), limits=msgspec.structs.replace(QUICK, output_mb=0.0001))
    result = stage.play(backend(name), sessions / f"{name}-output", play).result
    assert result.ending is Ending.OUTPUT_LIMIT, result.explanation


# Failures of the model server


FAILURES = {
    "401": (Fail(status=401, message="invalid x-api-key"), {Ending.AUTH_FAILED}),
    "403": (Fail(status=403, message="forbidden"), {Ending.AUTH_FAILED}),
    "404": (Fail(status=404, message="model 'scripted' not found"), {Ending.MODEL_ERROR}),
    "too_long": (Fail(status=400, message="{too_long}"), {Ending.CONTEXT_OVERFLOW}),
    "no_tools": (Fail(status=400, message="scripted does not support tools"), {Ending.MODEL_REFUSED_TOOLS}),
    "429": (Fail(status=429, message="Rate limit reached", retry_after=1), {Ending.RATE_LIMITED}),
    "500": (Fail(status=500, message="boom"), {Ending.MODEL_ERROR}),
    "529": (Fail(status=529, message="Overloaded"), {Ending.MODEL_ERROR}),
    "malformed": (Fail(malformed=True), {Ending.MODEL_ERROR, Ending.MODEL_UNREACHABLE}),
    "html": (Fail(html=True), {Ending.MODEL_ERROR, Ending.MODEL_UNREACHABLE}),
    "cut": (Fail(cut_after=2), {Ending.MODEL_ERROR, Ending.MODEL_UNREACHABLE}),
    "hang": (Fail(hang_after=3), {Ending.STALLED}),
}


INTERRUPTION = "500"
"""The failure after which a session is resumed, by a CLI that can do that."""


class Resumed:
    """Sessions that resume one that a failure of the model server cut short. Each is played once."""

    def __init__(self, stage: Stage, sessions: Path) -> None:
        self._stage = stage
        self._sessions = sessions
        self._played: dict[str, Played] = {}

    def of(self, name: str) -> Played:
        """Return the session of this backend."""
        if name not in self._played:
            before = ScriptedTurn(text="This was said before.", calls=(ScriptedCall(run="echo before"),))
            play = Play(
                script=Script((ECHO, ECHO, ECHO, ScriptedTurn(text="Done."))),
                first=Script((before, _broken(FAILURES[INTERRUPTION][0]))),
                prompt=rich.PROMPT,
                limits=QUICK,
            )
            self._played[name] = self._stage.play(backend(name), self._sessions / f"{name}-resumed", play)
        return self._played[name]


@pytest.fixture(scope="module")
def resumed(stage: Stage, sessions: Path) -> Resumed:
    """The sessions that resume another one."""
    return Resumed(stage, sessions)


def _resumed(name: str) -> pytest.MarkDecorator:
    return together(f"{name}-resumed")


def _broken(fail: Fail) -> ScriptedTurn:
    return ScriptedTurn(text="The half of this is never seen by anybody. " * 8, fail=fail)


@pytest.mark.parametrize(
    ("name", "failure"),
    [
        pytest.param(name, failure, marks=_resumed(name) if failure == INTERRUPTION else ())
        for failure in FAILURES
        for name in names()
    ],
)
def test_a_model_server_failure_gets_its_ending_in_time(
    name: str, failure: str, stage: Stage, sessions: Path, resumed: Resumed
) -> None:
    fail, endings = FAILURES[failure]
    if failure == INTERRUPTION and backend(name).capabilities.resume:
        result = resumed.of(name).earlier
        assert result
    else:
        if fail.message:
            fail = msgspec.structs.replace(fail, message=fail.message.format(too_long=words(name).too_long))
        play = Play(script=Script((ECHO, _broken(fail))), limits=QUICK)
        result = stage.play(backend(name), sessions / f"{name}-{failure}", play).result
    assert result.ending in endings, result.explanation
    assert result.agent_s < DEADLINE_S
    assert result.metered.turns == 1


@pytest.mark.parametrize("name", capable("mcp"))
def test_a_failed_mcp_server_is_not_overlooked(name: str, stage: Stage, sessions: Path) -> None:
    play = Play(script=Script((ScriptedTurn(text="Done without."),)), limits=QUICK, mcp_fails=True)
    result = stage.play(backend(name), sessions / f"{name}-mcp", play).result
    assert result.ending is Ending.MCP_UNAVAILABLE, result.explanation


# The end


@pytest.mark.parametrize("name", names())
def test_cancelling_leaves_nothing_behind(name: str, stage: Stage, sessions: Path) -> None:
    hold = ScriptedCall(run="setsid sleep 987 & nohup sleep 987 & (while :; do date +%N > clock; done) & sleep 987")
    sleepers: list[psutil.Process] = []

    def cancel(so_far: Progress) -> None:
        assert so_far.seconds < DEADLINE_S, "the agent's processes did not appear"
        sleepers[:] = [p for p in psutil.Process().children(recursive=True) if _runs(p, "sleep")]
        if len(sleepers) >= 3:
            raise Cancelled

    place = sessions / f"{name}-cancelled"
    play = Play(script=Script((ScriptedTurn(calls=(hold,)),)), limits=QUICK)
    result = stage.play(backend(name), place, play, progress=cancel).result
    assert isinstance(result.raised, Cancelled), "the caller learns of it"
    assert result.metered.turns == 1, "what was used is not lost"
    assert [process for process in sleepers if process.is_running()] == []
    clock = (place / "workspace" / "clock").stat().st_mtime_ns
    time.sleep(0.05)  # enough time for a surviving loop to write
    assert (place / "workspace" / "clock").stat().st_mtime_ns == clock


@pytest.mark.parametrize("name", [pytest.param(name, marks=_resumed(name)) for name in capable("resume")])
def test_an_interrupted_session_continues_where_it_stopped(name: str, resumed: Resumed) -> None:
    played = resumed.of(name)
    assert played.earlier
    assert played.earlier.ending is Ending.MODEL_ERROR
    assert played.result.ending is Ending.FINISHED, played.result.explanation
    first = played.requests[0]
    assert rich.PASSWORD in first.request.opening
    assert b"This was said before." in first.body
    assert first.request.turn >= 1


class Cancelled(Exception):
    """Raised in the middle of a session."""


def _runs(process: psutil.Process, program: str) -> bool:
    try:
        return process.name() == program
    except psutil.Error:
        return False
