"""A transcript as plain data: threads of turns and notices. `read.py` makes it from the files of a case."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from backends.events import Usage


class FileChange(Struct, frozen=True, kw_only=True):
    """A change of a file, as the arguments of a tool call describe it.

    `before` is the text that the call replaces, or `None` if it writes the whole file. `after` is the new text, or
    `None` if the call does not tell it. `patch` is a patch in the CLI's own format, if that is all that it tells.
    """

    path: str
    before: str | None = None
    after: str | None = None
    patch: str | None = None


class Result(Struct, frozen=True, kw_only=True):
    """What a tool answered. `seconds` is `None` if the CLI does not tell. `left_out` counts the characters cut off."""

    output: str
    is_error: bool = False
    seconds: float | None = None
    left_out: int = 0


class ToolUse(Struct, frozen=True, kw_only=True):
    """A tool call. `arguments` is decoded JSON, or the text itself if it is not JSON.

    `result` is `None` if none came. `denied` is the reason why the CLI did not carry it out, or `None` if it did.
    `pictures` are names of files in the folder of renders. `subagent` is the conversation that the call started, or
    `None`. It is empty if the CLI does not show what the subagent did.
    """

    call_id: str
    name: str
    arguments: Any = None
    result: Result | None = None
    denied: str | None = None
    changes: tuple[FileChange, ...] = ()
    pictures: tuple[str, ...] = ()
    subagent: Thread | None = None


class Said(Struct, frozen=True, kw_only=True):
    """Text that the model wrote, or reasoning that it showed (`thinking`). `left_out` counts the characters cut off."""

    text: str
    thinking: bool = False
    left_out: int = 0


class MeteredTurn(Struct, frozen=True, kw_only=True):
    """What the gateway's ledger says of a turn.

    `at` is when its request came, in UTC. `model_s` are the seconds until the last byte of the answer. `after_s` are
    the seconds from then to the next request: the tools, and the CLI itself. It is `None` for the last turn. `failed`
    has an entry for each request that failed since the turn before: its HTTP status, or `None` if no whole answer came.
    """

    at: str
    model_s: float
    after_s: float | None = None
    usage: Usage = Usage()
    cost_usd: float | None = None
    failed: tuple[int | None, ...] = ()


class Turn(Struct, frozen=True, kw_only=True):
    """One model response: what it said and which tools it called, in order.

    `number` counts the turns of the session from 1. It is `None` for a response that did not come back whole, and for
    parts that neither the stream nor the ledger assigns to a turn. `usage` and `cost_usd` are the CLI's own report.
    `metered` is the ledger's, or `None` if no line of the ledger could be matched.
    """

    number: int | None
    parts: tuple[Said | ToolUse, ...] = ()
    model: str = ""
    stop_reason: str | None = None
    usage: Usage = Usage()
    cost_usd: float | None = None
    metered: MeteredTurn | None = None

    @property
    def calls(self) -> tuple[ToolUse, ...]:
        """The tool calls."""
        return tuple(part for part in self.parts if isinstance(part, ToolUse))

    @property
    def text(self) -> str:
        """Everything that the model wrote, without its reasoning."""
        return "\n".join(part.text for part in self.parts if isinstance(part, Said) and not part.thinking)


class Notice(Struct, frozen=True, kw_only=True):
    """Something that happened between turns.

    `kind` is one of `started`, `retry`, `compaction`, `mcp`, `rate_limit`, `error`, `limit`, `ended`, `unknown` and
    `malformed`.
    """

    kind: str
    text: str


class Thread(Struct, frozen=True, kw_only=True):
    """The turns and notices of the agent, or of one subagent, in order. `left_out` counts the entries cut off."""

    entries: tuple[Turn | Notice, ...] = ()
    left_out: int = 0

    @property
    def turns(self) -> tuple[Turn, ...]:
        """The turns alone."""
        return tuple(entry for entry in self.entries if isinstance(entry, Turn))

    @property
    def calls(self) -> tuple[ToolUse, ...]:
        """The tool calls of all turns."""
        return tuple(call for turn in self.turns for call in turn.calls)


class Transcript(Struct, frozen=True, kw_only=True):
    """One attempt of a case.

    `attempt` counts from 1. `prompt` and `instructions` are the texts as they were sent, or `None` if they were not
    kept. `faults` say what could not be read.
    """

    attempt: int
    thread: Thread
    prompt: str | None = None
    instructions: str | None = None
    faults: tuple[str, ...] = ()
