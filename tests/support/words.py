"""The names and phrases of a backend's CLI that tests need: `tests/corpus/BACKEND/words.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import yaml
from msgspec import Struct

from harness.gateway.script import ScriptedCall, ScriptedTurn

CORPUS = Path(__file__).parents[1] / "corpus"
"""The folder with a subfolder for each backend."""


class SubagentTool(Struct, frozen=True, forbid_unknown_fields=True):
    """The tool that starts a subagent. `prompt` names the argument with its task; `arguments` are the others.

    `answer` is the tool by which a subagent ends, then its argument, and the keys in it that lead to the answer. Empty:
    it ends with a text.
    """

    tool: str
    prompt: str = "prompt"
    arguments: Mapping[str, Any] = {}
    answer: tuple[str, ...] = ()


class Words(Struct, frozen=True, forbid_unknown_fields=True):
    """The content of a backend's `words.yaml`.

    - `shell`: the name of the shell tool.
    - `subagent`: the tool that starts a subagent, for a CLI that has subagents.
    - `too_long`: the error with which a model server of the CLI's first wire refuses a prompt that is too long.
    - `effort`: the options with which the backend asks a model for reasoning, if it has any.
    - `known_models`: models that the CLI knows by name and may treat differently from unknown ones.
    """

    shell: str
    subagent: SubagentTool | None = None
    too_long: str = "This model's maximum context length is 8192 tokens. Your messages resulted in 9000 tokens."
    effort: Mapping[str, Any] = {}
    known_models: tuple[str, ...] = ()

    def start_subagent(self, prompt: str, **arguments: str) -> ScriptedCall:
        """Return the call that starts a subagent with the task `prompt`."""
        if self.subagent is None:
            raise ValueError("words.yaml names no `subagent` tool")
        given: dict[str, Any] = {**self.subagent.arguments, self.subagent.prompt: prompt, **arguments}
        return ScriptedCall(tool=self.subagent.tool, arguments=given)

    def answer_of_subagent(self, text: str) -> ScriptedTurn:
        """Return the last turn of a subagent that answers with `text`."""
        if self.subagent is None or not self.subagent.answer:
            return ScriptedTurn(text=text)
        tool, *keys = self.subagent.answer
        arguments: Any = text
        for key in reversed(keys):
            arguments = {key: arguments}
        return ScriptedTurn(calls=(ScriptedCall(tool=tool, arguments=arguments),))


@cache
def words(backend: str) -> Words:
    """Return the words of that backend. Raise `OSError` or `ValueError`; the message names the file."""
    file = CORPUS / backend / "words.yaml"
    try:
        return msgspec.convert(yaml.safe_load(file.read_text("utf-8")), Words)
    except msgspec.ValidationError as error:
        raise ValueError(f"tests/corpus/{backend}/words.yaml: {error}") from None
