"""What a request may carry to a provider: the lists in `allowed/WIRE.yaml`, and the project's `gateway.extra_fields`.

The lists name what the pinned CLIs need: paths, query parameters, headers and fields of the body. A service may act on
a header or a field that nobody knows here. It may fetch an address, run a tool, use another model or a stored
conversation. So everything else is held back:

- A header that is not listed is dropped. Libraries add headers that say who they are, and no answer depends on them.
- Anything else that is not listed is refused. Without it, the model would be asked something other than the CLI meant.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import parse_qsl, urlencode

import msgspec
import yaml
from msgspec import Struct, field

Rule = list[Any] | Literal["json", "schema", "data"] | None
"""What a field may hold: one of these values, anything (`json`), a JSON schema, or a `data:` URL.

None means any text, number or boolean.
"""

LISTS: Final = Path(__file__).with_name("allowed")
"""The folder of the lists."""

CREDENTIALS: Final = frozenset(("key", "access_token", "oauth_token"))
"""The query parameters that hold a CLI's own key. They are dropped, because the gateway sends the provider's key."""
_SHOWN: Final = 120
"""How many characters of a name or value that an agent chose a refusal shows."""


class NotAllowed(Exception):
    """A request carries something that is not listed. The message names it and says what to do."""


class Listed(Struct, frozen=True, forbid_unknown_fields=True):
    """A part of a list. `dropped` are headers that the pinned CLIs send too, and that no service needs."""

    paths: tuple[str, ...] = ()
    query: dict[str, list[str]] = {}
    headers: dict[str, list[str] | None] = {}
    dropped: tuple[str, ...] = ()
    body: dict[str, Rule] = {}


class AllowedFile(Struct, frozen=True, forbid_unknown_fields=True):
    """A file of `allowed/`. `recorded` is what `make allowed` saw. `known` is added by hand, with the reasons."""

    known: Listed
    recorded: Listed


class _Field(Struct):
    """A place in a body. It may hold a single value, an object with these `fields`, a list of `items`, or all three."""

    rule: Rule = None
    single: bool = False
    fields: dict[str, _Field] = field(default_factory=dict)
    items: _Field | None = None

    def below(self, path: str) -> _Field:
        """Return the place at a path such as `messages[].content`. Places on the way are made."""
        here = self
        for part in path.split("."):
            name = part.rstrip("[]")
            here = here.fields.setdefault(name, _Field())
            for _ in range(part.count("[]")):
                here.items = here.items or _Field()
                here = here.items
        return here

    def find(self, path: str) -> _Field | None:
        """Return the place at a path, or the place above it that may hold anything. None if there is none."""
        here: _Field | None = self
        for part in path.replace("[]", ".[]").split("."):
            if here is None or here.rule == "json":
                return here
            here = here.items if part == "[]" else here.fields.get(part)
        return here


class AllowList:
    """What a request over one wire may carry."""

    def __init__(self, wire: str, parts: Sequence[Listed], extra: Sequence[str]) -> None:
        self._wire = wire
        self._paths = {path for part in parts for path in part.paths}
        self._query = {name: set(values) for part in parts for name, values in part.query.items()}
        self._headers: dict[str, set[str] | None] = {}
        self._body = _Field()
        for part in parts:
            for name, values in part.headers.items():
                before = self._headers.get(name) or set()
                self._headers[name] = None if values is None else before | set(values)
            for path, rule in part.body.items():
                _add(self._body.below(path), rule)
        self._free = set[str]()
        for one in extra:
            kind, _, name = one.partition(".")
            match kind:
                case "body":
                    self._body.below(name).rule = "json"
                case "headers":
                    self._headers[name.lower()] = None
                case "query":
                    self._free.add(name)

    def check(self, path: str, query: str, model: str, body: bytes) -> None:
        """Raise `NotAllowed` for the first thing that is not listed. `path` is decoded, `query` is as it came."""
        if path not in self.paths(model):
            raise NotAllowed(f"the path {_shown(path)} is not served here")
        for name, value in parse_qsl(query, keep_blank_values=True):
            if name in CREDENTIALS or name in self._free:
                continue
            if value not in self._query.get(name, ()):
                raise NotAllowed(self._refusal("query parameter", f"query.{name}", f"query.{name}={value}"))
        for place, said in _foreign(json.loads(body), self._body, ""):
            raise NotAllowed(self._refusal("field", f"body.{place}", f"body.{said}"))

    def paths(self, model: str) -> set[str]:
        """Return the paths on which requests for a model may come."""
        return {path.replace("{model}", model) for path in self._paths}

    def lists(self, path: str, rule: Rule) -> bool:
        """Return whether a place in a body is listed, with everything that a rule lets it hold."""
        found = self._body.find(path)
        if found is None:
            return False
        if isinstance(rule, list):
            return all(_fits(value, found) for value in rule)
        return found.rule in (rule, "json") and found.single

    def headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Return the headers to send on. `headers` have lower-case names."""
        kept = {name: self._values(name, value) for name, value in headers.items() if name in self._headers}
        return {name: value for name, value in kept.items() if value}

    def _values(self, name: str, value: str) -> str:
        """Return what may be sent of a header's value. A list of values keeps those that are listed.

        Nothing is sent of a value with characters that no header may have. The request would fail here, and that must
        not look like a failure of the service.
        """
        if not (value.isascii() and value.isprintable()):
            return ""
        listed = self._headers[name]
        if listed is None:
            return value
        return ",".join(one for one in (part.strip() for part in value.split(",")) if one in listed)

    def _refusal(self, what: str, place: str, said: str) -> str:
        return (
            f"the {what} {_shown(said)} does not go to the model's service: it is not among those that the CLIs are "
            f"known to need over {self._wire}; if yours needs it, add '{_shown(place)}' to gateway.extra_fields in "
            "conf/config.yaml"
        )


def sent_query(query: str) -> str:
    """Return a request's query without the CLI's own key."""
    fields = parse_qsl(query, keep_blank_values=True)
    return urlencode([one for one in fields if one[0] not in CREDENTIALS])


@lru_cache(maxsize=16)
def read_list(wire: str) -> AllowedFile:
    """Return the file of a wire."""
    file = LISTS / f"{wire}.yaml"
    return msgspec.convert(yaml.safe_load(file.read_text("utf-8")), AllowedFile)


@lru_cache(maxsize=64)
def allow_list(wire: str, extra: tuple[str, ...] = ()) -> AllowList:
    """Return what a request over a wire may carry. `extra` are the project's `gateway.extra_fields`."""
    read = read_list(wire)
    return AllowList(wire, (read.known, read.recorded), extra)


def _add(place: _Field, rule: Rule) -> None:
    """Let a place hold what a rule says, besides what it may hold already."""
    place.single = True
    if isinstance(rule, list) and isinstance(place.rule, list):
        rule = [*place.rule, *rule]
    place.rule = rule


def _foreign(value: Any, place: _Field, path: str) -> Iterator[tuple[str, str]]:
    """Yield each part of a value that is not listed: its place, and its place with its value."""
    if place.rule == "json":
        return
    if place.rule == "schema":
        yield from ((path, f"{path} with {link}") for link in _links(value))
    elif isinstance(value, dict):
        for name, inner in value.items():
            inside = f"{path}.{name}" if path else name
            known = place.fields.get(name)
            if known is not None:
                yield from _foreign(inner, known, inside)
            elif inner is not None:  # a null says nothing, and clients write it for what they leave out
                yield inside, inside
    elif isinstance(value, list):
        if place.items is None and any(inner is not None for inner in value):
            yield f"{path}[]", f"{path}[]"
        for inner in value:
            yield from _foreign(inner, place.items or place, f"{path}[]")
    elif value is not None and not _fits(value, place):
        yield path, f"{path}={value}"


def _fits(value: Any, place: _Field) -> bool:
    """Return whether a place may hold a single value."""
    if place.rule == "data":
        return isinstance(value, str) and value[:5].lower() == "data:"
    return place.single and (place.rule is None or value in place.rule)


def _links(schema: Any) -> Iterator[str]:
    """Yield the references of a JSON schema that lead out of it. Some readers of schemas fetch them."""
    rest = [schema]
    while rest:
        part = rest.pop()
        if isinstance(part, dict):
            for name in ("$ref", "$dynamicRef", "$recursiveRef"):
                target = part.get(name)
                if isinstance(target, str) and not target.startswith("#"):
                    yield f"{name}={target}"
            rest += part.values()
        elif isinstance(part, list):
            rest += part


def _shown(text: str) -> str:
    """Return the beginning of a text that an agent wrote, safe to print."""
    cut = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
    return cut if cut.isprintable() else ascii(cut)[1:-1]
