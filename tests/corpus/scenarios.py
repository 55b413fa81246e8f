"""The scenarios of the corpus: `scenarios.yaml` for all backends, and the changes in `BACKEND/scenarios.yaml`."""

from __future__ import annotations

import json
from pathlib import Path
from string import Template
from typing import Any, TypeVar

import msgspec
import yaml
from msgspec import Struct

from backends.registry import backend
from harness.gateway.script import Conversation, Script, ScriptedTurn
from tests.support.sessions import LIMITS, Play, Rewrite
from tests.support.words import CORPUS, words

T = TypeVar("T")

_SHARED = CORPUS / "scenarios.yaml"

ANTHROPIC, CHAT, RESPONSES = "anthropic_messages", "openai_chat", "openai_responses"
GOOGLE = "google_generate"

_REWRITES: dict[str, Rewrite] = {
    # turns a response's text into reasoning
    "think": {
        ANTHROPIC: [
            ('{"type":"text","text":""}', '{"type":"thinking","thinking":"","signature":"c2ln"}'),
            ('"type":"text_delta","text"', '"type":"thinking_delta","thinking"'),
        ],
        CHAT: [('"delta":{"content":', '"delta":{"reasoning_content":')],
        GOOGLE: [('{"text":"', '{"thought":true,"text":"')],
    },
    # cuts off the JSON of a call's arguments within the word CUTHERE
    "cut": {wire: [('CUTHERE\\"', "CUT")] for wire in (ANTHROPIC, CHAT, RESPONSES)},
    # makes a response stop because its context is full
    "max_tokens": {
        ANTHROPIC: [('"stop_reason":"end_turn"', '"stop_reason":"max_tokens"')],
        CHAT: [('"finish_reason":"stop"', '"finish_reason":"length"')],
        GOOGLE: [('"finishReason":"STOP"', '"finishReason":"MAX_TOKENS"')],
        RESPONSES: [
            ('"type":"response.completed"', '"type":"response.incomplete"'),
            ('"incomplete_details":null', '"incomplete_details":{"reason":"max_output_tokens"}'),
        ],
    },
    # makes a response that calls a tool claim that it has stopped
    "stop": {
        ANTHROPIC: [('"stop_reason":"tool_use"', '"stop_reason":"end_turn"')],
        CHAT: [('"finish_reason":"tool_calls"', '"finish_reason":"stop"')],
    },
}

_LONG = " ".join(f"Sentence {number} of a long answer says nothing new." for number in range(60))


class Scenario(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One session to play.

    `first` are the turns of an interrupted session, which this one resumes. `needs` are the required capabilities; a
    backend that lacks one leaves the scenario out. `limits` replaces some of the recorder's limits, `options` some of
    the adapter's options. The rest is a script, or as in `tests.support.sessions.Play`.
    """

    turns: tuple[ScriptedTurn, ...]
    conversations: tuple[Conversation, ...] = ()
    first: tuple[ScriptedTurn, ...] = ()
    needs: list[str] = []
    prompt: str = "Play the script."
    context: int = 65_536
    limits: dict[str, Any] = {}
    options: dict[str, Any] = {}
    rewrite: dict[str, list[tuple[str, str]]] = {}
    refuse: bool = False
    mcp_fails: bool = False

    def play(self) -> Play:
        """Return the session that plays this scenario."""
        return Play(
            script=Script(self.turns, self.conversations),
            first=Script(self.first) if self.first else None,
            prompt=self.prompt,
            context=self.context,
            limits=msgspec.structs.replace(LIMITS, **self.limits),
            options=self.options,
            rewrite=self.rewrite,
            refuse=self.refuse,
            mcp_fails=self.mcp_fails,
        )


class Differences(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The changes for one backend: its `scenarios.yaml`, if it has one.

    - `left_out`: the shared scenarios that do not apply to this CLI, and why.
    - `explained`: for a scenario, each field of the CLI's report that differs from the gateway's ledger, and why.
    - `own`: scenarios of this backend only.
    """

    left_out: dict[str, str] = {}
    explained: dict[str, dict[str, str]] = {}
    own: dict[str, Scenario] = {}


def scenarios(name: str) -> dict[str, Scenario]:
    """Return the scenarios of a backend by case name. Raise `ValueError` if a file is wrong; the message names it."""
    can, differences = backend(name).capabilities, _differences(name)
    shared = _read(_SHARED, name)
    if unknown := differences.left_out.keys() - shared.keys():
        raise ValueError(f"{_file(name)}: left_out: there is no scenario {', '.join(sorted(unknown))}")
    fitting = {
        case: scenario
        for case, scenario in shared.items()
        if case not in differences.left_out and all(getattr(can, need) for need in scenario.get("needs", ()))
    }
    found = _convert(fitting, dict[str, Scenario], _SHARED) | differences.own
    if unknown := differences.explained.keys() - found.keys():
        raise ValueError(f"{_file(name)}: explained: there is no scenario {', '.join(sorted(unknown))}")
    return found


def explained(name: str, case: str) -> dict[str, str]:
    """Return the reason, by field, why this backend's report of a case differs from the gateway's ledger."""
    return _differences(name).explained.get(case, {})


def _differences(name: str) -> Differences:
    file = _file(name)
    return _convert(_read(file, name) or {}, Differences, file) if file.exists() else Differences()


def _file(name: str) -> Path:
    return CORPUS / name / "scenarios.yaml"


def _read(file: Path, name: str) -> Any:
    return yaml.safe_load(Template(file.read_text("utf-8")).substitute(_dollar_words(name)))


def _convert(document: Any, kind: type[T], file: Path) -> T:
    try:
        return msgspec.convert(document, kind)
    except msgspec.ValidationError as error:
        raise ValueError(f"{file}: {error}") from None


def _dollar_words(name: str) -> dict[str, str]:
    """Return the replacement for each `$word`: names of the CLI, calls, rewrites, and a long text."""
    said = words(name)
    pieces: dict[str, Any] = dict(_REWRITES) | dict.fromkeys(("count", "list", "nobody"))
    if said.subagent:
        calls = {
            "count": said.start_subagent("Count the files."),
            "list": said.start_subagent("List the files."),
            "nobody": said.start_subagent("Count the files.", subagent_type="nobody"),
        }
        pieces |= {word: {"tool": call.tool, "arguments": call.arguments} for word, call in calls.items()}
    texts = {word: json.dumps(piece) for word, piece in pieces.items()}
    return {"shell": said.shell, "too_long": said.too_long, "long": _LONG, **texts}
