"""Plain data as bytes: the one format that crosses the border between the harness and a submission.

Plain data is `None`, bool, int, float, str, NumPy arrays of numbers or bools, and lists and string-keyed dicts of
these. The bytes are the length of a text (four bytes, big-endian), the text in JSON, and then the contents of the
arrays. An array is the object `{"__array__": [DTYPE, SHAPE]}` in the text. Its content is little-endian and C-ordered.
A non-finite float is one of the literals NaN, Infinity and -Infinity of Python's JSON. Neither side can make the other
run code: nothing here is a pickle, and `loads` raises `ValueError` for everything that is not exactly this format.

This file needs only the standard library and NumPy, so that it can be copied into the policy's sandbox and imported
there.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sized
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_BYTES = 16 * 1024 * 1024
"""The longest message, in bytes. `loads` can be given a lower limit."""
MAX_DEPTH = 32
"""How deep lists and dicts can be nested."""

_ARRAY = "__array__"
_DTYPES = frozenset(
    ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64"]
)
_LITTLE = {name: np.dtype(name).newbyteorder("<") for name in _DTYPES}
_NATIVE = {name: np.dtype(name) for name in _DTYPES}
_NAMES = {dtype: name for name, dtype in _LITTLE.items()}
_SCALARS = frozenset([type(None), bool, int, float, str])
_MAX_DIMENSIONS = 16
_LENGTH = 4


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) != len(pairs):
        raise ValueError("an object has the same key twice")
    return unique


_ENCODER = json.JSONEncoder(separators=(",", ":"))
_DECODER = json.JSONDecoder(object_pairs_hook=_unique)


def dumps(value: Any) -> bytes:
    """Encode plain data.

    Tuples become lists, and NumPy scalars become Python ones. Raise `ValueError` for anything that is not plain data,
    that is nested deeper than `MAX_DEPTH` (such as a cycle), or that is longer than `MAX_BYTES`.
    """
    contents: list[bytes] = []
    text = _ENCODER.encode(_to_json(value, 0, contents)).encode("ascii")
    data = b"".join([len(text).to_bytes(_LENGTH, "big"), text, *contents])
    if len(data) > MAX_BYTES:
        raise ValueError(f"the data takes {len(data)} bytes, more than {MAX_BYTES}")
    return data


def loads(data: bytes, limit: int = MAX_BYTES) -> Any:
    """Decode what `dumps` made. For other bytes, or more than `limit` of them, raise `ValueError` and nothing else."""
    if len(data) > limit:
        raise ValueError(f"the data takes {len(data)} bytes, more than {limit}")
    end = _LENGTH + int.from_bytes(data[:_LENGTH], "big")
    if len(data) < max(end, _LENGTH):
        raise ValueError(f"the data ends after {len(data)} bytes, in its text")
    try:
        tree = _DECODER.decode(data[_LENGTH:end].decode("utf-8"))
    except RecursionError:
        raise ValueError(f"nested deeper than {MAX_DEPTH}") from None
    contents = _Contents(data, end)
    value = _from_json(tree, 0, contents)
    if contents.start != len(data):
        raise ValueError(f"{len(data) - contents.start} bytes belong to no array")
    return value


def is_plain(value: Any) -> bool:
    """Return whether a value is plain data that can be sent."""
    try:
        dumps(value)
    except ValueError:
        return False
    return True


class _Contents:
    """The contents of the arrays of a message. Those before `start` are taken."""

    def __init__(self, data: bytes, start: int) -> None:
        self._data = data
        self.start = start

    def take(self, count: int) -> bytes:
        content = self._data[self.start : self.start + count]
        if len(content) != count:
            raise ValueError(f"the content of an array ends after {len(content)} of {count} bytes")
        self.start += count
        return content


def _to_json(value: Any, depth: int, contents: list[bytes]) -> Any:
    """Return a value as JSON has it. Most of what a message holds are scalars, which cost no call of their own."""
    if depth > MAX_DEPTH:
        raise ValueError(f"nested deeper than {MAX_DEPTH}")
    if type(value) in _SCALARS:
        return value
    if isinstance(value, np.ndarray):
        return {_ARRAY: _array_to_json(value, contents)}
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, list | tuple):
        _check_depth(value, depth)
        return [item if type(item) in _SCALARS else _to_json(item, depth + 1, contents) for item in value]
    if isinstance(value, dict):
        _check_depth(value, depth)
        for key in value:
            if not isinstance(key, str) or key == _ARRAY:
                raise ValueError(f"{key!r} cannot be a key: keys are strings other than {_ARRAY}")
        return {
            key: item if type(item) in _SCALARS else _to_json(item, depth + 1, contents) for key, item in value.items()
        }
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ValueError(f"a value of type {type(value).__name__} is not plain data")


def _from_json(value: Any, depth: int, contents: _Contents) -> Any:
    if type(value) is list:
        _check_depth(value, depth)
        return [item if type(item) in _SCALARS else _from_json(item, depth + 1, contents) for item in value]
    if type(value) is dict:
        if _ARRAY in value:
            return _array_from_json(value, contents)
        _check_depth(value, depth)
        return {
            key: item if type(item) in _SCALARS else _from_json(item, depth + 1, contents)
            for key, item in value.items()
        }
    return value


def _check_depth(container: Sized, depth: int) -> None:
    """Raise `ValueError` if what is in a container at this depth is too deep."""
    if depth >= MAX_DEPTH and len(container):
        raise ValueError(f"nested deeper than {MAX_DEPTH}")


def _array_to_json(array: NDArray[Any], contents: list[bytes]) -> list[Any]:
    """Return the description of an array, and append its content to `contents`."""
    dtype = array.dtype if array.dtype in _NAMES else array.dtype.newbyteorder("<")
    name = _NAMES.get(dtype)
    if name is None:
        raise ValueError(f"an array of dtype {array.dtype} is not plain data; allowed: {', '.join(sorted(_DTYPES))}")
    if array.ndim > _MAX_DIMENSIONS or any(size > MAX_BYTES for size in array.shape):
        raise ValueError(f"an array of shape {array.shape} is too large")
    contents.append(array.astype(dtype, copy=False).tobytes())
    return [name, list(array.shape)]


def _array_from_json(value: dict[str, Any], contents: _Contents) -> NDArray[Any]:
    parts = value[_ARRAY]
    if len(value) != 1 or not isinstance(parts, list) or len(parts) != 2:
        raise ValueError(f"{_ARRAY} must stand alone and hold [dtype, shape]")
    name, shape = parts
    if not isinstance(name, str) or name not in _DTYPES:
        raise ValueError(f"unknown array dtype {name!r:.40}")
    if not isinstance(shape, list) or len(shape) > _MAX_DIMENSIONS or not all(_is_size(size) for size in shape):
        raise ValueError(f"bad array shape {shape!r:.80}")
    dtype = _LITTLE[name]
    content = contents.take(math.prod(shape) * dtype.itemsize)
    if name == "bool" and content.strip(b"\0\1"):
        raise ValueError("a bool array holds bytes other than 0 and 1")
    return np.frombuffer(content, dtype).reshape(shape).astype(_NATIVE[name])


def _is_size(size: Any) -> bool:
    return type(size) is int and 0 <= size <= MAX_BYTES
