"""The interface of a wire, which is a module with these functions, and what wires share."""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol, TypeVar

import msgspec
from msgspec import Struct

from harness.gateway.messages import AnswerOutcome, ModelRequest, Reply, WireError
from harness.gateway.wires.guard import check

T = TypeVar("T")


class Wire(Protocol):
    """One service's API. To add one, write a module with these names beside this one, and a route in `routes.py`."""

    @property
    def NAME(self) -> str:  # noqa: N802 (a module's constant, seen as a property)
        """The name of the wire in the ledger."""

    @property
    def COUNTED_AS(self) -> str | None:  # noqa: N802 (a module's constant, seen as a property)
        """The key of the count in an answer that counts tokens. None if the service does not count."""

    @property
    def ID_HEADER(self) -> str | None:  # noqa: N802 (a module's constant, seen as a property)
        """The header in which the service names each answer. None if it does not name them."""

    def parse(self, body: bytes, path: str = "") -> ModelRequest:
        """Return the request in a body that came by this path (with its query). Raise `WireError` if not valid."""

    def render(self, reply: Reply) -> dict[str, Any]:
        """Return the reply as the body of an answer without streaming."""

    def events(self, reply: Reply, request: ModelRequest) -> Iterator[bytes]:
        """Yield the reply as server-sent events, one event at a time."""

    def error(self, status: int, message: str) -> dict[str, Any]:
        """Return the body of an error answer."""

    def model(self, name: str) -> dict[str, Any]:
        """Return what the service says about a model."""

    def models(self, name: str) -> dict[str, Any]:
        """Return the list of models, with this one only."""

    def count(self, tokens: int) -> dict[str, Any]:
        """Return the body of an answer that counts tokens."""

    def read_body(self, data: Any) -> AnswerOutcome:
        """Return what the decoded body of an answer says. Raise `msgspec.ValidationError` for anything else."""

    def read_event(self, outcome: AnswerOutcome, data: str) -> AnswerOutcome:
        """Return what is known after one more event's data. Raise `msgspec.MsgspecError` for malformed data."""


def identified(wire: Wire, body: Mapping[str, Any] | None = None) -> dict[str, str]:
    """Return the header that names an answer, if the wire has one. An error's body may have the name already."""
    if wire.ID_HEADER is None:
        return {}
    return {wire.ID_HEADER: (body or {}).get("request_id") or new_id()}


def new_id() -> str:
    """Return a new name for an answer."""
    return f"req_{uuid.uuid4().hex}"


class Extras(Struct, frozen=True, kw_only=True):
    """What some services add to each wire's own API: tools that OpenRouter runs, other models, several answers."""

    plugins: Any = None
    models: Any = None
    n: Any = None
    best_of: Any = None
    n_cmpl: Any = None

    @property
    def answers(self) -> int:
        """How many answers the request asks for, under OpenAI's, vLLM's or llama.cpp's name."""
        return stated(self.n, self.best_of, self.n_cmpl) or 1

    @property
    def hosted(self) -> tuple[str, ...]:
        """The plugins, if there are any. Raise `WireError` for a request that another model may answer."""
        if self.models:
            raise WireError("models: this session has one, and no other to fall back on")
        return ("plugins",) if self.plugins else ()


def decode(body: bytes, kind: type[T]) -> T:
    """Return the JSON of a request body as `kind`. Raise `WireError`, which names the place, if it is not valid.

    Python's own parser reads it first: unlike msgspec, it takes the lone surrogates that JavaScript clients send. A key
    that an object has twice is refused, because the service might use the other value. So is what the budget could not
    count (`harness.gateway.wires.guard`).
    """
    try:
        data = json.loads(body, object_pairs_hook=_distinct)
        if isinstance(data, dict):
            check(data)
        return msgspec.convert(data, kind)
    except (ValueError, RecursionError) as error:
        raise WireError(f"the request body is not valid: {error}") from None


MAX_STATED = 10**9
"""The largest number that counts in a request. No service gives more tokens or answers."""


def stated(*values: Any) -> int | None:
    """Return the largest number that a request states under the spellings of one limit, or None.

    A value that is not a number of 1 or more does not count. The service decides whether it is an error.
    """
    numbers = [number for number in map(_number, values) if number >= 1]
    return int(min(max(numbers), MAX_STATED)) if numbers else None


def _number(value: Any) -> float:
    """Return the value as a number, or 0 if it is not one. Google's service takes numbers in strings too."""
    try:
        return float(value)
    except OverflowError:
        return MAX_STATED
    except (TypeError, ValueError):
        return 0


_MANY = 2**53  # beyond, numbers in JSON are not exact


def counted(value: Any) -> int:
    """Return a count of tokens that an answer reports, or 0 if it is null or anything else but a positive number."""
    return int(value) if isinstance(value, int | float) and 0 < value < _MANY else 0


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ValueError(f"an object has the key {twice[:100]!r} twice")
    return found


def dumps(data: Any) -> str:
    """Return compact JSON in ASCII, so that no reader takes a U+2028 or half a character for the end of a line."""
    return json.dumps(data, separators=(",", ":"))


def fragments(text: str, size: int = 64) -> Iterator[str]:
    """Yield the text in pieces, as services stream it. Yield nothing for an empty text."""
    for start in range(0, len(text), size):
        yield text[start : start + size]


class Message(Protocol):
    """What the messages of all wires have in common."""

    @property
    def role(self) -> str | None:
        """The role of the speaker."""

    @property
    def content(self) -> Any:
        """The content: a string or a list of blocks."""


def opening(messages: Iterable[Message]) -> str:
    """Return the text of a conversation's first user message, or an empty string without one."""
    return next((flatten(message.content) for message in messages if message.role == "user"), "")


def flatten(content: Any) -> str:
    """Return the text of a message's content: a string, or a list of blocks, some of which have text."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(str(block["text"]) for block in content if isinstance(block, Mapping) and "text" in block)
    return ""
