"""Reads the lines of a CLI's stream, whatever they contain."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Set
from functools import cache
from types import UnionType
from typing import Annotated, Any, Generic, TypeVar, Union, cast, get_args, get_origin

import msgspec
from msgspec import Meta, Raw, Struct

from backends.events import SAMPLE_CAP, Malformed, Unknown

T = TypeVar("T", bound=Struct)


class _Type(Struct, gc=False):
    type: str


_decode_type = msgspec.json.Decoder(_Type).decode

Count = Annotated[int, Meta(ge=0, le=2**53 - 1)]
"""A count that a CLI reported. Larger numbers are rejected, because not every JSON reader keeps them exact."""
Amount = Annotated[float, Meta(ge=0, le=2**53 - 1)]
"""An amount that a CLI reported: finite and not negative."""

_MISFIT = object()


class LinePart(Struct, gc=False):
    """The base of the structs into which an adapter reads a line. Fields that a struct does not name are skipped."""


class OtherObject(Struct, tag="", gc=False):
    """A JSON object with a `type` that the union does not know. `kind` is that type, or "" if it is not a text."""

    kind: str = ""


class ObjectReader(Generic[T]):
    """Reads lines as JSON objects of one `kind`: a struct, or a union of structs that differ in their tags.

    All fields have defaults. A line that fits takes the fast, typed path. Any other JSON object is read field by field.
    If a value does not fit its field, the default replaces it, and the other fields are still read. An object with an
    unknown tag becomes `OtherObject` if the union has that, at the top and in lists.
    """

    def __init__(self, kind: type[T] | UnionType) -> None:
        self._kind = kind
        self._decode: Callable[[bytes], T] = msgspec.json.Decoder(kind).decode
        self._tagged = _tagged(kind)

    def read(self, line: bytes) -> T | Malformed:
        """Return the object in `line`, or the reason why there is none. It never raises."""
        try:
            return self._decode(line)
        except (ValueError, RecursionError):
            return self._read_other(line) or self._read_leniently(line)

    def _read_other(self, line: bytes) -> T | None:
        """Return the object if its tag is unknown. This is fast, because most bytes of some CLIs are not needed."""
        if "" not in self._tagged:
            return None
        try:
            kind = _decode_type(line).type
        except (ValueError, RecursionError):
            return None
        return None if kind in self._tagged else cast(T, OtherObject(kind=kind))

    def _read_leniently(self, line: bytes) -> T | Malformed:
        text = line.decode("utf-8", "replace")
        try:
            fitted = _fit(self._kind, _clean(json.loads(text)))
            if fitted is not _MISFIT:
                return cast(T, fitted)
        except ValueError:
            return Malformed(reason="no JSON", sample=sample(line))
        except RecursionError:
            return Malformed(reason="nested too deeply", sample=sample(line))
        return Malformed(reason="no JSON object", sample=sample(line))


def other_events(
    read: OtherObject | Malformed, line: bytes, *, silent: Set[str] = frozenset()
) -> tuple[Unknown | Malformed, ...]:
    """Return the event of a line that the adapter does not read. A blank line or a `silent` kind has no event."""
    if isinstance(read, Malformed):
        return (read,) if line.strip() else ()
    if not read.kind:
        return (Malformed(reason="no type", sample=sample(line)),)
    return () if read.kind in silent else (Unknown(kind=read.kind[:80], sample=sample(line)),)


_LEAD = re.compile(
    r"(?:[\x00-\x1a\x1c-\x20\ufeff]|\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\^_=>78]))*"
)
"""What may stand around the objects of a line: white space, control characters, a byte order mark, terminal escapes."""
_scan_object = json.JSONDecoder().raw_decode


MOST_PIECES = 64
"""How many JSON objects are looked for on one line."""


def pieces(line: bytes) -> list[bytes]:
    """Return the JSON objects that a line holds one after the other, and what follows the last whole one.

    A byte order mark and terminal escapes before and after each are left out. A line that holds no whole object after
    them comes back as it is, as does one that holds nothing else. What follows `MOST_PIECES` objects is one piece: such
    a line is an attack, not a race between two writers.
    """
    text, found = line.decode("utf-8", "surrogateescape"), list[str]()
    at = _lead(text, 0)
    while len(found) < MOST_PIECES and text.startswith("{", at):
        try:
            _, end = _scan_object(text, at)
        except (ValueError, RecursionError):
            break
        found.append(text[at:end])
        at = _lead(text, end)
    if not found:
        return [line]
    if at < len(text):
        found.append(text[at:])
    return [piece.encode("utf-8", "surrogateescape") for piece in found]


def _lead(text: str, at: int) -> int:
    found = _LEAD.match(text, at)
    return found.end() if found else at


def _clean(value: Any) -> Any:
    """Return the value without what JSON cannot hold: lone surrogates, infinities, NaN, integers beyond 64 bits."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_clean(key): _clean(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_clean(item) for item in value]
    if isinstance(value, int) and value.bit_length() > 64:
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _lenient(kind: type[Struct], value: dict[str, Any]) -> Struct:
    given = {}
    for name, wire_name, declared in _fields(kind):
        if wire_name in value:
            fitted = _fit(declared, value[wire_name])
            if fitted is not _MISFIT:
                given[name] = fitted
    return kind(**given)


@cache
def _fields(kind: type[Struct]) -> tuple[tuple[str, str, Any], ...]:
    return tuple((field.name, field.encode_name, field.type) for field in msgspec.structs.fields(kind))


@cache
def _tagged(union: Any) -> dict[str, type[Struct]]:
    """Return the structs of a union by their tags, leaving out those without a tag."""
    structs = [part for part in get_args(union) if isinstance(part, type) and issubclass(part, Struct)]
    return {str(part.__struct_config__.tag): part for part in structs if part.__struct_config__.tag is not None}


def _fit(declared: Any, value: Any) -> Any:
    if declared is Raw:
        return Raw(msgspec.json.encode(value))
    try:
        return msgspec.convert(value, declared)
    except msgspec.ValidationError:
        pass
    origin, parts = get_origin(declared), get_args(declared)
    if origin is list and isinstance(value, list):
        return [item for item in (_fit(parts[0], item) for item in value) if item is not _MISFIT]
    if origin is dict and isinstance(value, dict):
        fitted = {key: _fit(parts[1], item) for key, item in value.items()}
        return {key: item for key, item in fitted.items() if item is not _MISFIT}
    if isinstance(declared, type) and issubclass(declared, Struct) and isinstance(value, dict):
        return _lenient(declared, value)
    return _fit_union(declared, value) if origin in {Union, UnionType} else _MISFIT


def _fit_union(union: Any, value: Any) -> Any:
    if isinstance(value, dict) and (tagged := _tagged(union)):
        tag = value.get("type")
        tag = tag if isinstance(tag, str) else ""
        if tag in tagged:
            return _lenient(tagged[tag], value)
        return OtherObject(kind=tag) if "" in tagged else _MISFIT
    fits = (_fit(choice, value) for choice in get_args(union))
    return next((item for item in fits if item is not _MISFIT), _MISFIT)


def call_arguments(text: str) -> Any:
    """Return the arguments of a call that a stream tells as text, or the text itself if it is not JSON."""
    try:
        return msgspec.json.decode(text)
    except (ValueError, RecursionError):
        return text


def sample(line: bytes) -> str:
    """Return the beginning of a line as text."""
    return line[:SAMPLE_CAP].decode("utf-8", "replace")
