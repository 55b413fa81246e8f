"""Scripts: YAML files that say what the scripted model answers, turn by turn.

    turns:
      - text: I look at one state first.
        calls:
          - mcp: render_state
            arguments: {seed: 0}
            optional: true
      - calls:
          - write: approach.py
            content: |
              ...
          - run: python approach.py
          - read: approach.py
          - tool: NAME
            arguments: {as: they are}
      - fail: {status: 500, times: 2, retry_after: 1}
      - text: A text without an
        truncated: true
      - json: {answer: 42}
      - text: Done.
    conversations:
      - opening: Count the files.
        turns: [{text: There are three.}]

If a conversation's first message contains the text of an `opening`, as a subagent's may, it plays the turns of that
entry. Any other conversation plays the top-level `turns`. Calls of one turn are made in parallel. Paths are relative to
the workspace. An optional call is left out if its tool is not offered. So is a turn whose calls are all left out.

`json` is an answer as data. If the request wants a tool to be called (`tool_choice`), it is the arguments of that tool,
else it is the text. A request that wants JSON gets no other text, and one that wants a call gets no other turn.

In a session without tools (backend `direct`), each answer plays the next turn that writes a file or has no calls. The
files are code blocks in its text.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
import yaml
from msgspec import UNSET, Meta, Struct

from backends.options import in_plain_words
from harness.conf_path import ConfPath, one_line
from harness.gateway.messages import TokenCounts

Positive = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(ge=0, le=1e9)]

_KINDS = ("write", "run", "read", "mcp", "tool")


class ScriptError(Exception):
    """A script cannot be used. The message names the file and the key, and says what is wrong."""


class ScriptedCall(Struct, frozen=True, forbid_unknown_fields=True):
    """One tool call: exactly one of `write` (with `content`), `run`, `read`, `mcp`, `tool` (with `arguments`).

    `mcp` is the plain name of a tool of an MCP server. `tool` is the exact name of a tool that the CLI offers. Both may
    be `optional`.
    """

    write: str | None = None
    content: str | None = None
    run: str | None = None
    read: str | None = None
    mcp: str | None = None
    tool: str | None = None
    arguments: Mapping[str, Any] | None = None
    optional: bool = False

    def __post_init__(self) -> None:
        kinds = [kind for kind in _KINDS if getattr(self, kind) is not None]
        if len(kinds) != 1:
            found = " and ".join(kinds) or "none"
            raise ValueError(f"a call has exactly one of {', '.join(_KINDS)}; this one has {found}")
        if (self.write is None) != (self.content is None):
            raise ValueError("`write` and `content` go together")
        if self.arguments is not None and self.kind not in ("mcp", "tool"):
            raise ValueError("`arguments` goes with `mcp` or `tool`")
        if self.optional and self.kind not in ("mcp", "tool"):
            raise ValueError("`optional` goes with `mcp` or `tool`")

    @property
    def kind(self) -> str:
        """The kind of call: the name of the one key that says what to do."""
        return next(kind for kind in _KINDS if getattr(self, kind) is not None)

    @property
    def target(self) -> str:
        """The path, the command or the tool: the value of the key that names the kind."""
        return str(getattr(self, self.kind))


class Fail(Struct, frozen=True, forbid_unknown_fields=True):
    """How a turn fails, in exactly one way.

    The ways are an HTTP `status`, a stream that is cut (`cut_after`) or hangs (`hang_after`) after a number of events,
    `html`, and `malformed` JSON. The turn fails `times` times, and then plays as written. None means always.
    `retry_after` (seconds) and `message` (the error's text) go with `status`.
    """

    status: Annotated[int, Meta(ge=400, le=599)] | None = None
    cut_after: Annotated[int, Meta(ge=0)] | None = None
    hang_after: Annotated[int, Meta(ge=0)] | None = None
    html: bool = False
    malformed: bool = False
    times: Positive | None = None
    retry_after: Seconds | None = None
    message: str | None = None

    def __post_init__(self) -> None:
        numbers = (self.status, self.cut_after, self.hang_after)
        if sum(number is not None for number in numbers) + self.html + self.malformed != 1:
            raise ValueError("a failure is exactly one of status, cut_after, hang_after, html, malformed")
        for name in ("retry_after", "message"):
            if getattr(self, name) is not None and self.status is None:
                raise ValueError(f"`{name}` goes with `status`")


class ScriptedTurn(Struct, frozen=True, forbid_unknown_fields=True):
    """One answer of the model: text, calls, or both, or an answer as data (`json`). Else, it is the closing text.

    `usage` replaces the pseudo-count of tokens. `truncated` makes its wire say that the model's output limit cut it.
    """

    text: str | None = None
    calls: tuple[ScriptedCall, ...] = ()
    json: Any = UNSET
    delay_s: Seconds = 0.0
    fail: Fail | None = None
    usage: TokenCounts | None = None
    truncated: bool = False

    def __post_init__(self) -> None:
        if self.json is not UNSET:
            if self.text is not None or self.calls:
                raise ValueError("`json` is the whole answer: it does not go with text or calls")
            return
        if all(part is None for part in (self.text, self.fail, self.usage)) and not self.calls and not self.delay_s:
            raise ValueError("a turn needs text, calls, json, delay_s, fail or usage")


class Conversation(Struct, frozen=True, forbid_unknown_fields=True):
    """The turns of a conversation beside the main one. A text in its first message identifies it."""

    opening: Annotated[str, Meta(min_length=1)]
    turns: Annotated[tuple[ScriptedTurn, ...], Meta(min_length=1)]


class Script(Struct, frozen=True, forbid_unknown_fields=True):
    """The turns of one session, and of the conversations that it starts beside the main one."""

    turns: Annotated[tuple[ScriptedTurn, ...], Meta(min_length=1)]
    conversations: tuple[Conversation, ...] = ()

    def played_in(self, opening: str) -> tuple[ScriptedTurn, ...]:
        """Return the turns of the conversation whose first message is `opening`."""
        return next((other.turns for other in self.conversations if other.opening in opening), self.turns)


def find_script(script: str, conf: ConfPath) -> Path:
    """Return the file of a script. Raise `ScriptError` if there is none.

    `script` is the name of a file in `conf/scripts/`. If it has a slash or ends in .yaml or .yml, it is a path,
    relative to the project's root folder.
    """
    is_path = "/" in script or script.endswith((".yaml", ".yml"))
    file = f"scripts/{script}.yaml"
    path = conf.root / script if is_path else conf.find(file)
    if path is None:
        hint = conf.misnamed(file) or f"choose from: {', '.join(conf.choices('scripts'))}"
        raise ScriptError(f"there is no script {script} (conf/{file}); {hint}")
    if not path.is_file():
        what = "it is a folder" if path.is_dir() else "there is no such file"
        raise ScriptError(
            f"{conf.shown(path)}: {what}; write a path from {conf.root}, or the name of a file in conf/scripts"
        )
    return path


def load_script(path: Path) -> Script:
    """Read and check a script. Raise `ScriptError`."""
    try:
        with path.open(encoding="utf-8") as file:
            document = yaml.safe_load(file)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ScriptError(f"{path}: {one_line(error)}") from None
    try:
        # JSON comes in between because the wires send JSON. A YAML date, for example, becomes a string.
        return msgspec.json.decode(msgspec.json.encode(document), type=Script)
    except (msgspec.MsgspecError, TypeError, RecursionError) as error:
        raise ScriptError(f"{path}: {in_plain_words(error)}") from None
