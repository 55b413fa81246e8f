"""Draws scripts of whole sessions with hypothesis. Each backend's grammar writes them as its CLI would.

A backend's grammar is a module `tests/corpus/BACKEND/grammar.py` with

- `lines(script)`: the lines of the stream, shaped like recorded ones. The last line shows the session's end;
- `arguments(call)`: the arguments of a call as the stream shows them;
- `SHOWS`: the parts of a script (from `PARTS`) that appear in the stream;
- `LEAVES_OUT`: what its results do not tell: "tool_errors" (whether a call failed). It is optional;
- `as_shown(said)`: the part of a turn that the stream shows, if it does not show everything. It is optional.
- `usage_as_shown(usage)`: the counts of all turns that the stream tells, if it does not tell all. It is optional.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any, Protocol, cast

from hypothesis import strategies as st
from msgspec import Struct, structs

from backends.events import ErrorKind, Usage

PARTS = frozenset({"turns", "subagent_turns", "retries", "compactions", "reasoning"})
SPACE = "\t\v\f \xa0\u1680\u202f\u205f\u3000\ufeff" + "".join(map(chr, range(0x2000, 0x200B)))
"""JavaScript's white space, except line ends (ECMA-262, WhiteSpace)."""
FAILURES = {ErrorKind.AUTH: 401, ErrorKind.RATE_LIMIT: 429, ErrorKind.MODEL_ERROR: 500}


class Call(Struct, frozen=True, kw_only=True):
    """A tool call and its result. Its arguments have a command or a content; or it has the turns of a subagent."""

    id: str
    name: str = "bash"
    command: str = ""
    content: str = ""
    output: str = ""
    failed: bool = False
    milliseconds: int = 5
    subagent: tuple[Turn, ...] = ()

    @property
    def arguments(self) -> dict[str, str]:
        """The arguments as the model writes them."""
        return {"command": self.command} if self.command else {"filePath": "approach.py", "content": self.content}


class Turn(Struct, frozen=True, kw_only=True):
    """A model response. It calls tools, or it is the last one of its agent and has text."""

    id: str
    thinking: str = ""
    text: str = ""
    calls: tuple[Call, ...] = ()
    usage: Usage = Usage()
    retries: int = 0
    compactions: int = 0


class Script(Struct, frozen=True, kw_only=True):
    """A session: its turns, and the failure with which the model server ended it, if any."""

    turns: tuple[Turn, ...]
    failure: ErrorKind | None = None

    def all_turns(self, *, subagents: bool) -> Iterator[Turn]:
        """Yield the turns, with those of subagents if `subagents` is true."""
        for turn in self.turns:
            yield turn
            if subagents:
                yield from (inner for call in turn.calls for inner in call.subagent)


_INNER = Turn(id="sub", text="done")
_CALLS = (
    Call(id="a", command="ls"),
    Call(id="b", content="x", output="y", failed=True),
    Call(id="c", subagent=(_INNER,)),
)
EVERYTHING = Script(
    turns=(
        Turn(id="one", thinking="hm", text="so", calls=_CALLS, usage=Usage(input_tokens=9), retries=1, compactions=1),
        Turn(id="two", text="done"),
    )
)
"""A session with every possible part."""


class Said(Struct, frozen=True):
    """What a model said in one turn: its text, and its calls in order, each with its arguments as JSON."""

    text: str
    calls: tuple[tuple[str, str], ...]


class Grammar(Protocol):
    """The interface of every module `grammar`."""

    SHOWS: frozenset[str]

    def lines(self, script: Script) -> list[bytes]:
        """Return the lines of the stream of this session."""

    def arguments(self, call: Call) -> Mapping[str, Any]:
        """Return the arguments of a call as the stream shows them."""


def grammar(backend: str) -> Grammar:
    """Return the grammar of a backend. Raise `ImportError` if its module is missing; the message names the module."""
    return cast(Grammar, import_module(f"tests.corpus.{backend}.grammar"))


def leaves_out(backend: str) -> frozenset[str]:
    """Return what the results of the backend's stream do not tell."""
    left_out: frozenset[str] = getattr(grammar(backend), "LEAVES_OUT", frozenset())
    return left_out


def as_shown(backend: str, said: Said) -> Said:
    """Return what the backend's stream shows of a turn in which the model said this."""
    show: Callable[[Said], Said] | None = getattr(grammar(backend), "as_shown", None)
    return show(said) if show else said


def usage_as_shown(backend: str, usage: Usage) -> Usage:
    """Return what the backend's stream tells of the tokens of turns that used this."""
    module = grammar(backend)
    if "reasoning" not in module.SHOWS:
        usage = structs.replace(usage, reasoning_tokens=None)
    show: Callable[[Usage], Usage] | None = getattr(module, "usage_as_shown", None)
    return show(usage) if show else usage


def line(**value: Any) -> bytes:
    """Return a line as these CLIs write it: compact, with unescaped UTF-8."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


_texts = st.text(max_size=12) | st.sampled_from(
    ["\u2028", "\x00\x1b[31m", "naïve 🙂", '{"type":"result"}\n', "\\u0000"]
)
_words = _texts.map(lambda text: text + ".")
_usages = st.integers(0, 10**6).map(
    lambda n: Usage(
        input_tokens=n,
        output_tokens=n // 3,
        reasoning_tokens=n // 7,
        cache_read_tokens=n % 5,
        cache_write_tokens=n % 11,
    )
)
_tools = ("bash", "read", "proctor_render_state", "naïve")
_commands = ("", "ls", "python3 approach.py", 'echo "\u2028"')
_kinds = st.sampled_from([*itertools.product(_tools, _commands, (False, True), (0, 7))])
_events = st.sampled_from([(0, 0)] * 8 + [(1, 0), (0, 1), (2, 1)])


@st.composite
def _calls(draw: st.DrawFn, turn: str, *, nested: bool) -> tuple[Call, ...]:
    calls = []
    for number in range(draw(st.integers(1, 3))):
        name, command, failed, milliseconds = draw(_kinds)
        text, id_ = draw(_texts), f"call_{turn}_{number}"
        inner = draw(_turns(f"{turn}_{number}", nested=True)) if not nested and draw(st.integers(0, 7)) == 7 else ()
        call = Call(id=id_, name=name, command=command, content=text, output=text, failed=failed, subagent=inner)
        calls.append(structs.replace(call, milliseconds=milliseconds))
    return tuple(calls)


@st.composite
def _turns(draw: st.DrawFn, prefix: str, *, nested: bool = False) -> tuple[Turn, ...]:
    """Draw turns that call tools, and a last turn that does not."""
    working = draw(st.integers(0, 1 if nested else 3))
    turns = []
    for number in range(working + 1):
        id_ = f"{prefix}.{number}"
        calls = draw(_calls(id_, nested=nested)) if number < working else ()
        text, thinking = draw(_texts if calls else _words), draw(st.just("") | _words)
        retries, compactions = draw(_events)
        turn = Turn(id=id_, thinking=thinking, text=text, calls=calls, usage=draw(_usages))
        turns.append(structs.replace(turn, retries=retries, compactions=compactions))
    return tuple(turns)


def scripts() -> st.SearchStrategy[Script]:
    """Draw sessions that end well, and some that a failure of the model server ends."""
    return st.builds(Script, turns=_turns("t"), failure=st.sampled_from([None, None, None, *FAILURES]))
