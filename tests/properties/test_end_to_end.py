"""Whatever a model says, the events read from the real CLI's stream match what the gateway sent."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from backends import events as ev
from backends.base import Backend
from backends.registry import backend, names
from harness.agent.attempt import AttemptResult, run_attempt
from harness.agent.cli import find_cli
from harness.agent.setup import SessionSetup
from harness.agent.stream import LineSplitter
from harness.case import BackendConf, Case, Limits, ModelConf, ProviderConf, SandboxConf
from harness.case_folder import CaseFolder
from harness.endings import Ending
from harness.environment_conf import TOOLS, EnvironmentConf
from harness.environments.factory import make_environment
from harness.gateway.budget import Budget
from harness.gateway.provider import Answer, Call
from harness.gateway.script import Script, ScriptedCall, ScriptedTurn
from harness.gateway.scripted import ScriptedProvider
from harness.gateway.server import Gateway
from harness.gateway.tool_mapping import map_call
from harness.grading import EvaluationConf
from harness.http_host import HttpHost
from harness.mcp.server import McpServer
from harness.models.model_server import ModelServer
from harness.sandbox.dirs import SandboxDirs
from harness.sandbox.factory import make_sandbox
from tests.properties.grammar import SPACE, Said, as_shown, grammar, usage_as_shown
from tests.support.cases import PROMPT
from tests.support.played import each

pytestmark = pytest.mark.nightly

SCRIPTS = 200
SANDBOX = SandboxConf("bubblewrap", "bubblewrap")
MAZE = EnvironmentConf("small_maze", "maze", {"min_size": 3, "max_size": 5})


def said(text: str, calls: Iterable[tuple[str, Any]]) -> Said:
    return Said(text, tuple((name, json.dumps(arguments, sort_keys=True)) for name, arguments in calls))


class Listening:
    """The scripted provider, with a record of what it said, by turn."""

    def __init__(self, script: Script) -> None:
        self._inner = ScriptedProvider(script)
        self._script = script
        self.heard: dict[int, Said] = {}

    async def answer(self, call: Call) -> Answer:
        answer = await self._inner.answer(call)
        number = call.request.turn
        if not call.request.side and answer.status == 200:
            turn = self._script.turns[number]
            calls = (map_call(one, call.request.tools, call.workspace) for one in turn.calls)
            self.heard[number] = said(turn.text or "", calls)
        return answer

    async def count_tokens(self, call: Call) -> int:
        return await self._inner.count_tokens(call)


def _visible(text: str) -> bool:
    """Return whether JavaScript's trim() leaves anything. The CLIs do not show a text that is only white space."""
    return bool(text.strip(SPACE + "\n\r\u2028\u2029"))


characters = st.characters(codec="utf-8")
words = st.one_of(
    st.text(characters, min_size=1, max_size=60),
    st.sampled_from(
        [
            "\u2028 \u2029 \x85",
            "\x1b[31mred\x1b[0m",
            "a\x00b",
            "\ufeff",
            "\U0001d518 \U0001f469\u200d\U0001f467",
            "```json\n{}\n```",
        ]
    ),
)
file_names = st.text("abcdefgh", min_size=1, max_size=8)
own_calls = (
    st.builds(ScriptedCall, write=file_names.map(lambda n: f"{n}.txt"), content=words),
    st.builds(ScriptedCall, read=file_names.map(lambda n: f"{n}.txt")),
    st.builds(
        ScriptedCall, run=st.sampled_from(["true", "false", "echo hello", "printf 'a\\0b\\n'", "no-such-command"])
    ),
)
mcp_calls = st.builds(
    ScriptedCall, mcp=st.just("render_state"), arguments=st.fixed_dictionaries({"seed": st.integers(-3, 12_000)})
)
spoken = words.filter(_visible)


@st.composite
def scripts(draw: st.DrawFn, *, mcp: bool) -> Script:
    calls = st.lists(st.one_of(*own_calls, *([mcp_calls] if mcp else [])), min_size=1, max_size=3).map(tuple)
    working = st.builds(ScriptedTurn, text=spoken, calls=calls) | st.builds(ScriptedTurn, calls=calls)
    return Script((*draw(st.lists(working, max_size=4)), draw(st.builds(ScriptedTurn, text=spoken))))


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    with HttpHost() as host:
        yield Gateway(host)


def play(
    adapter: Backend, script: Script, gateway: Gateway, folder: Path
) -> tuple[AttemptResult, list[Said], list[Said]]:
    """Have the real CLI play a script. Return its result, what was sent, and what was read from the stream."""
    case = Case(
        id="end-to-end",
        backend=BackendConf(adapter.name),
        model=ModelConf("scripted", "scripted"),
        provider=ProviderConf("scripted", "scripted", wires=[]),
        wire=adapter.capabilities.wires[0],
        environment=MAZE,
        prompt=PROMPT,
        sandbox=SANDBOX,
        limits=Limits(turns=20, wall_s=120),
        evaluation=EvaluationConf(),
    )
    listening = Listening(script)
    dirs = SandboxDirs(make_sandbox(SANDBOX), CaseFolder(folder))
    environment = make_environment(MAZE)

    def no_policy(_folder: str) -> Any:
        raise NotImplementedError

    result = run_attempt(
        SessionSetup(
            case=case,
            backend=adapter,
            cli=find_cli(adapter),
            dirs=dirs,
            budget=Budget.within(case.limits),
            gateway=gateway,
            model_server=ModelServer("scripted", lambda: listening),
            mcp=McpServer(environment, TOOLS, folder / "renders", no_policy, (NotImplementedError,), gateway._host),
            progress=lambda _: None,
        ),
        "Play your part.",
    )
    environment.close()
    sent = [one for _, one in sorted(listening.heard.items())]
    return result, sent, read(adapter, folder / "stream.jsonl")


def read(adapter: Backend, stream: Path) -> list[Said]:
    """Return what each turn said, by the events of the stream."""
    reader = LineSplitter()
    texts: dict[tuple[str, int], str] = {}
    made: dict[tuple[str, int], list[tuple[str, Any]]] = {}
    begun = 0
    for line in (*reader.feed(stream.read_bytes()), *reader.finish()):
        for event in adapter.decode(line.data):
            match event:
                case ev.TurnStarted(whole=True):  # its id may name an earlier turn, too
                    begun += 1
                case ev.Text(turn=turn, text=text):
                    texts[turn, begun] = texts.get((turn, begun), "") + text
                    made.setdefault((turn, begun), [])
                case ev.ToolCall(turn=turn, name=name, arguments=arguments):
                    made.setdefault((turn, begun), []).append((name, arguments))
    return [said(texts.get(turn, ""), calls) for turn, calls in made.items()]


@pytest.mark.parametrize("name", each(*(name for name in names() if "turns" in grammar(name).SHOWS)))
def test_what_the_gateway_sent_is_what_was_read(name: str, gateway: Gateway) -> None:
    adapter = backend(name)

    @settings(
        max_examples=SCRIPTS, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )  # shrinking takes hours
    @given(scripts(mcp=adapter.capabilities.mcp))
    def plays(script: Script) -> None:
        with TemporaryDirectory() as folder:
            result, sent, received = play(adapter, script, gateway, Path(folder))
        assert result.ending == Ending.FINISHED, result.explanation
        assert [as_shown(name, turn) for turn in received] == [as_shown(name, turn) for turn in sent]
        session, metered = result.session, result.metered
        assert (session.turns, session.tool_calls) == (metered.turns, metered.tool_calls)
        used = usage_as_shown(name, ev.Usage(input_tokens=metered.input_tokens, output_tokens=metered.output_tokens))
        assert session.usage.input_tokens == used.input_tokens
        assert session.usage.output_tokens == used.output_tokens
        assert (session.unknown_events, session.malformed_lines) == (0, 0)

    plays()
