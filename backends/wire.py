"""Reading what others wrote: a line of a CLI's stream, and the options of a configuration file."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from functools import cache
from types import UnionType
from typing import Annotated, Any, Generic, TypeVar, Union, get_args, get_origin

import msgspec
from msgspec import Meta, Struct

from backends.events import OUTPUT_CAP, SAMPLE_CAP, Malformed, ToolResult

T = TypeVar("T", bound=Struct)

Count = Annotated[int, Meta(ge=0, le=2**53 - 1)]
"""A count that somebody reported; a larger number is not exact in every JSON reader, and is not believed."""
Amount = Annotated[float, Meta(ge=0, le=2**53 - 1)]
"""An amount that somebody reported: finite and not negative."""

_MISFIT = object()


class LineReader(Generic[T]):
    """Reads lines as JSON objects of one `kind`, all of whose fields have defaults.

    A line that fits the kind takes the fast, typed path. Any other JSON object is read field by field, and
    what does not fit its field's type is left at the default; so no field of a wrong type hides the others.
    """

    def __init__(self, kind: type[T]) -> None:
        self._kind = kind
        self._decode = msgspec.json.Decoder(kind).decode

    def read(self, line: bytes) -> T | Malformed:
        """The object in `line`, or why there is none. Never raises."""
        try:
            return self._decode(line)
        except (ValueError, RecursionError):
            return self._read_leniently(line)

    def _read_leniently(self, line: bytes) -> T | Malformed:
        text = line.decode("utf-8", "replace")
        try:
            value = _clean(json.loads(text))
            if isinstance(value, dict):
                return _lenient(self._kind, value)
        except ValueError:
            return Malformed(reason="no JSON", sample=sample(line))
        except RecursionError:
            return Malformed(reason="nested too deeply", sample=sample(line))
        return Malformed(reason="no JSON object", sample=sample(line))


def _clean(value: Any) -> Any:
    """The value without what JSON cannot carry: lone surrogates, infinities, NaN, integers beyond 64 bits."""
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


def _lenient(kind: type[T], value: dict[str, Any]) -> T:
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


def _fit(declared: Any, value: Any) -> Any:
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
    if origin in {Union, UnionType}:
        fits = (_fit(choice, value) for choice in parts)
        return next((item for item in fits if item is not _MISFIT), _MISFIT)
    return _MISFIT


def sample(line: bytes) -> str:
    """The beginning of a line, as text."""
    return line[:SAMPLE_CAP].decode("utf-8", "replace")


def tool_result(call_id: str, output: str, *, is_error: bool, seconds: float | None = None) -> ToolResult:
    """The event of a tool's output, which is cut at `OUTPUT_CAP`."""
    return ToolResult(call_id=call_id, output=output[:OUTPUT_CAP], size=len(output), is_error=is_error, seconds=seconds)


def read_options(kind: type[T], options: Mapping[str, Any]) -> T:
    """The options of a backend as its own `kind`; `ValueError` says which is wrong and which there are."""
    try:
        return msgspec.convert(dict(options), kind)
    except msgspec.ValidationError as error:
        names = ", ".join(field.name for field in msgspec.structs.fields(kind))
        raise ValueError(f"{error}; the options are: {names}") from None


def output_limit(context: int) -> int:
    """How many tokens one response may have: a quarter of the context, at most 32,000 (both CLIs' own default)."""
    return min(32_000, max(1, context // 4))


def plain_name(name: str) -> str:
    """The name as part of a tool's name: both CLIs keep letters, digits, `_` and `-`."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)
