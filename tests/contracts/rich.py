"""One rich session, which most clauses of the contract share."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from _pytest.mark import ParameterSet
from msgspec import Struct, field

from backends.base import Backend
from backends.events import Event
from backends.registry import backend as registered
from backends.registry import names
from harness.environments import host
from harness.gateway.messages import ModelRequest, RequestToolResult
from harness.gateway.provider import Call
from harness.gateway.script import Conversation, Script, ScriptedCall, ScriptedTurn
from tests.support.sessions import UNKNOWN_TOOL, Play, Played, Stage
from tests.support.words import words

PROMPT = "Schreibe „Grüße“, 挨拶 und 🤖, wie das Drehbuch es will: Losung-Nashorn."
PASSWORD = "Losung-Nashorn"  # noqa: S105 - not a password, but a word that occurs only in the prompt

FILE, CONTENT = "grüße.txt", "Zürich, 東京, Ελλάδα 😀\n"
SAID = ("Grüße — 挨拶 — 👩‍🔬", "Geschafft ✓")
SUBTASK, SUBREPLY = "Count the pebbles.", "There are 41 pebbles."
CUT = dict.fromkeys(("anthropic_messages", "openai_chat", "openai_responses"), (('CUTHERE\\"', "CUT"),))
"""Cuts off the JSON of the arguments that contain this word."""

COMMIT = (
    "git init -q repository; cd repository; touch file; git add file; git commit -qm Begin; "
    "git log --format='%an <%ae>, committed by %cn'"
)
LOOK_AROUND = "tr '\\0' ' ' < /proc/1/cmdline; cat /proc/[0-9]*/cmdline | tr '\\0' ' '; env"


class Rich(Struct):
    """The session as played, and a look at its processes at the time of the first request.

    `command_lines` and `environments` belong to all its processes, as the kernel shows them to the host.
    """

    backend: Backend
    played: Played
    names: list[str]
    command_lines: list[str] = field(default_factory=list)
    environments: list[str] = field(default_factory=list)

    @property
    def requests(self) -> list[ModelRequest]:
        """The requests of the main conversation."""
        parsed = (call.request for call in self.played.requests)
        return [request for request in parsed if PASSWORD in request.opening and not request.side]

    @property
    def last(self) -> Call:
        """The last request of the main conversation."""
        return [call for call in self.played.requests if PASSWORD in call.request.opening and call.request.tools][-1]

    def results(self, name: str) -> tuple[RequestToolResult, ...]:
        """Return the CLI's results for the tool calls of that turn."""
        number = self.names.index(name) + 1
        return next(request.results for request in self.requests if request.turn == number)

    def events(self) -> Iterator[Event]:
        """Yield the events of the CLI's stream."""
        for line in self.played.stream.split(b"\n"):
            yield from self.backend.decode(line)


def capable(*needs: str) -> list[str]:
    """Return the names of the backends that have these capabilities."""
    return [name for name in names() if all(getattr(registered(name).capabilities, need) for need in needs)]


def together(session: str) -> pytest.MarkDecorator:
    """Return the mark of the tests of one session. They all run on the worker that plays it."""
    return pytest.mark.xdist_group(f"contract-{session}")


def sessions(*needs: str, hides_subagents: bool | None = None) -> list[ParameterSet]:
    """Return those backends as parameters of `session`.

    `hides_subagents` leaves out those with another value of this quirk.
    """
    found = [name for name in capable(*needs) if hides_subagents in (None, registered(name).quirks.hides_subagents)]
    return [pytest.param(name, marks=together(name)) for name in found]


def turns(backend: Backend) -> dict[str, ScriptedTurn]:
    """Return the turns of the script, by name, that the backend is capable of."""
    known, can = words(backend.name), backend.capabilities
    first = [ScriptedCall(write=FILE, content=CONTENT), ScriptedCall(run="echo from the shell: Ελλάδα")]
    if can.mcp:
        first.append(ScriptedCall(mcp="render_state", arguments={"seed": 0}))
    played = {
        "first": ScriptedTurn(text=SAID[0], calls=tuple(first)),
        "look": ScriptedTurn(calls=(ScriptedCall(read=FILE), ScriptedCall(run=LOOK_AROUND), ScriptedCall(run=COMMIT))),
        "huge": ScriptedTurn(calls=(ScriptedCall(run="python -c \"print(('y' * 99 + chr(10)) * 10000)\""),)),
        "unknown": ScriptedTurn(calls=(ScriptedCall(tool=UNKNOWN_TOOL, arguments={"x": 1}),)),
        "wrong": ScriptedTurn(calls=(ScriptedCall(tool=known.shell, arguments={"wrong": 1}),)),
        "invalid": ScriptedTurn(calls=(ScriptedCall(run="echo CUTHERE"),)),
    }
    if can.subagents:
        played["subagent"] = ScriptedTurn(calls=(known.start_subagent(SUBTASK),))
        played["wait"] = ScriptedTurn(calls=(ScriptedCall(run="sleep 1"),))  # for CLIs whose subagents run in parallel
    return played | {"last": ScriptedTurn(text=SAID[1])}


def play(stage: Stage, backend: Backend, folder: Path) -> Rich:
    """Play the session with the backend's real CLI."""
    script = turns(backend)
    looked = _Look()
    counting = (ScriptedTurn(calls=(ScriptedCall(run="echo 41"),)), words(backend.name).answer_of_subagent(SUBREPLY))
    subagent = (Conversation(SUBTASK, counting),)
    session = Play(script=Script(tuple(script.values()), subagent), prompt=PROMPT, rewrite=CUT)
    played = stage.play(backend, folder, session, watch=looked)
    return Rich(backend, played, list(script), looked.command_lines, looked.environments)


class _Look:
    """Records the command lines and environments of all descendants of this process, once.

    The processes of environments are left out: they run beside the harness, with its variables, and no agent sees them.
    """

    def __init__(self) -> None:
        self.command_lines: list[str] = []
        self.environments: list[str] = []

    def __call__(self, _: Call) -> None:
        if self.command_lines:
            return
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                command_line = " ".join(process.cmdline())
                if host.__file__ in command_line:
                    continue
                self.command_lines.append(command_line)
            with contextlib.suppress(psutil.Error):
                self.environments.append(" ".join(map("=".join, process.environ().items())))
