"""The scenarios of the corpus: `scenarios.yaml`, in the words of each backend."""

from __future__ import annotations

import json
from pathlib import Path
from string import Template
from typing import Any

import msgspec
import yaml
from msgspec import Struct

from backends.registry import backend
from harness.gateway.script import Conversation, Script, ScriptedTurn
from tests.support.sessions import LIMITS, Play, Rewrite
from tests.support.words import WORDS

SCENARIOS = Path(__file__).with_name("scenarios.yaml")

ANTHROPIC, CHAT, RESPONSES = "anthropic_messages", "openai_chat", "openai_responses"

_REWRITES: dict[str, Rewrite] = {
    # a response's text becomes its reasoning
    "think": {
        ANTHROPIC: [
            ('{"type":"text","text":""}', '{"type":"thinking","thinking":"","signature":"c2ln"}'),
            ('"type":"text_delta","text"', '"type":"thinking_delta","thinking"'),
        ],
        CHAT: [('"delta":{"content":', '"delta":{"reasoning_content":')],
    },
    # the JSON of a call's arguments breaks off within the word CUTHERE
    "cut": {wire: [('CUTHERE\\"', "CUT")] for wire in (ANTHROPIC, CHAT, RESPONSES)},
    # a response stops because it has no room left
    "max_tokens": {
        ANTHROPIC: [('"stop_reason":"end_turn"', '"stop_reason":"max_tokens"')],
        CHAT: [('"finish_reason":"stop"', '"finish_reason":"length"')],
        RESPONSES: [
            ('"type":"response.completed"', '"type":"response.incomplete"'),
            ('"incomplete_details":null', '"incomplete_details":{"reason":"max_output_tokens"}'),
        ],
    },
    # a response calls a tool and says that it has stopped
    "stop": {
        ANTHROPIC: [('"stop_reason":"tool_use"', '"stop_reason":"end_turn"')],
        CHAT: [('"finish_reason":"tool_calls"', '"finish_reason":"stop"')],
    },
}

_LONG = " ".join(f"Sentence {number} of a long answer says nothing new." for number in range(60))


class Scenario(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry of `scenarios.yaml`.

    `first` are the turns of a session that is interrupted, which this one resumes. `only` names the backends that it is
    for (none: all), `needs` the capabilities without which a backend is left out. `limits` replaces some of the
    recorder's limits, `options` some of the adapter's. `explained` says for each backend why a field of its own account
    is not what the gateway metered. The rest is a script, or as in `tests.support.sessions.Play`.
    """

    turns: tuple[ScriptedTurn, ...]
    conversations: tuple[Conversation, ...] = ()
    first: tuple[ScriptedTurn, ...] = ()
    only: list[str] | None = None
    needs: list[str] = []
    prompt: str = "Play the script."
    context: int = 65_536
    limits: dict[str, Any] = {}
    options: dict[str, Any] = {}
    rewrite: dict[str, list[tuple[str, str]]] = {}
    refuse: bool = False
    mcp_fails: bool = False
    explained: dict[str, dict[str, str]] = {}

    def differs(self, backend: str) -> dict[str, str]:
        """Why what this backend reports is not what the gateway metered, by field."""
        return self.explained.get(backend, {})

    def play(self) -> Play:
        """The session that this scenario is."""
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


def scenarios(name: str) -> dict[str, Scenario]:
    """The scenarios of a backend, by the names of their cases. Raises `ValueError` naming what is wrong in the file."""
    document = yaml.safe_load(Template(SCENARIOS.read_text("utf-8")).substitute(_words(name)))
    read = msgspec.convert(document, dict[str, Scenario])
    can = backend(name).capabilities
    return {
        case: scenario
        for case, scenario in read.items()
        if (scenario.only is None or name in scenario.only) and all(getattr(can, need) for need in scenario.needs)
    }


def _words(name: str) -> dict[str, str]:
    words = WORDS[name]
    calls = {
        "count": words.subagent("Count the files."),
        "list": words.subagent("List the files."),
        "nobody": words.subagent("Count the files.", subagent_type="nobody"),
    }
    pieces = {word: json.dumps(rewrite) for word, rewrite in _REWRITES.items()}
    pieces |= {word: json.dumps({"tool": call.tool, "arguments": call.arguments}) for word, call in calls.items()}
    return {"bash": words.bash, "too_long": words.too_long, "long": _LONG, **pieces}
