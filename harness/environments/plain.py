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
from functools import lru_cache
from typing import Any, NamedTuple

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

# The messages of an episode have few texts, because most of them differ only in the contents of their arrays. So the
# last texts are kept, together with what they stand for.
_KEPT = 64
_LONGEST_KEPT = 1 << 10
_MOST_PARTS = 8
_LONGEST_WORD = 64


class _ArrayForm(NamedTuple):
    """What the text of a message says about an array. `size` is that of its content, in bytes."""

    dtype: str
    shape: tuple[int, ...]
    size: int


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any] | _ArrayForm:
    unique = dict(pairs)
    if len(unique) != len(pairs):
        raise ValueError("an object has the same key twice")
    return _form(unique) if _ARRAY in unique else unique


_ENCODER = json.JSONEncoder(separators=(",", ":"))
_DECODER = json.JSONDecoder(object_pairs_hook=_object)


def dumps(value: Any) -> bytes:
    """Encode plain data.

    Tuples become lists, and NumPy scalars become Python ones. Raise `ValueError` for anything that is not plain data,
    that is nested deeper than `MAX_DEPTH` (such as a cycle), or that is longer than `MAX_BYTES`.
    """
    outline = _outline(value)
    if outline is not None:
        head, contents = _head_of(outline), [item.tobytes() for item in value.values() if type(item) is np.ndarray]
    else:
        contents = []
        head = _head(_to_json(value, 0, contents))
    data = b"".join([head, *contents])
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
    text = data[_LENGTH:end]
    tree = _kept_tree(text) if len(text) <= _LONGEST_KEPT else _tree(text)
    contents = _Contents(data, end)
    value = _filled(tree, 0, contents)
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

    def take(self, form: _ArrayForm) -> NDArray[Any]:
        """Return the next array, which is of this form. It can be written to."""
        start, self.start = self.start, self.start + form.size
        if self.start > len(self._data):
            raise ValueError(f"the content of an array ends after {len(self._data) - start} of {form.size} bytes")
        name = form.dtype
        if name == "bool" and self._data[start : self.start].strip(b"\0\1"):
            raise ValueError("a bool array holds bytes other than 0 and 1")
        return np.ndarray(form.shape, _LITTLE[name], self._data, start).astype(_NATIVE[name])


def _outline(value: Any) -> tuple[tuple[Any, ...], ...] | None:
    """Return what determines the text of a small dict of arrays and short strings. For anything else, return `None`."""
    if type(value) is not dict or len(value) > _MOST_PARTS:
        return None
    parts: list[tuple[Any, ...]] = []
    for key, item in value.items():
        if type(key) is not str or len(key) > _LONGEST_WORD or key == _ARRAY:
            return None
        if type(item) is np.ndarray and item.dtype in _NAMES and item.nbytes <= MAX_BYTES:
            parts.append((key, item.dtype, item.shape))
        elif type(item) is str and len(item) <= _LONGEST_WORD:
            parts.append((key, item))
        else:
            return None
    return tuple(parts)


@lru_cache(_KEPT)
def _head_of(outline: tuple[tuple[Any, ...], ...]) -> bytes:
    """Return how the message of a value with this outline begins."""
    return _head({key: part[0] if len(part) == 1 else {_ARRAY: _description(*part)} for key, *part in outline})


def _head(tree: Any) -> bytes:
    text = _ENCODER.encode(tree).encode("ascii")
    return len(text).to_bytes(_LENGTH, "big") + text


def _tree(text: bytes) -> Any:
    """Return what a text stands for, with the forms of its arrays."""
    try:
        return _DECODER.decode(text.decode("utf-8"))
    except RecursionError:
        raise ValueError(f"nested deeper than {MAX_DEPTH}") from None


_kept_tree = lru_cache(_KEPT)(_tree)


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


def _filled(tree: Any, depth: int, contents: _Contents) -> Any:
    """Return a tree with the contents of its arrays. It shares no list or dict with the tree, which may be kept."""
    kind = type(tree)
    if kind is _ArrayForm:
        return contents.take(tree)
    if kind is dict:
        _check_depth(tree, depth)
        return {
            key: item if type(item) in _SCALARS else _filled(item, depth + 1, contents) for key, item in tree.items()
        }
    if kind is list:
        _check_depth(tree, depth)
        return [item if type(item) in _SCALARS else _filled(item, depth + 1, contents) for item in tree]
    return tree


def _check_depth(container: Sized, depth: int) -> None:
    """Raise `ValueError` if what is in a container at this depth is too deep."""
    if depth >= MAX_DEPTH and len(container):
        raise ValueError(f"nested deeper than {MAX_DEPTH}")


def _array_to_json(array: NDArray[Any], contents: list[bytes]) -> list[Any]:
    """Return the description of an array, and append its content to `contents`."""
    dtype = array.dtype if array.dtype in _NAMES else array.dtype.newbyteorder("<")
    description = _description(dtype, array.shape)
    contents.append(array.astype(dtype, copy=False).tobytes())
    return description


def _description(dtype: np.dtype[Any], shape: tuple[int, ...]) -> list[Any]:
    """Return what the text of a message says about an array. Raise `ValueError` if it is not plain data."""
    name = _NAMES.get(dtype)
    if name is None:
        raise ValueError(f"an array of dtype {dtype} is not plain data; allowed: {', '.join(sorted(_DTYPES))}")
    if len(shape) > _MAX_DIMENSIONS or any(size > MAX_BYTES for size in shape):
        raise ValueError(f"an array of shape {shape} is too large")
    return [name, list(shape)]


def _form(value: dict[str, Any]) -> _ArrayForm:
    """Return the form of the array that an object of the text describes."""
    parts = value[_ARRAY]
    if len(value) != 1 or not isinstance(parts, list) or len(parts) != 2:
        raise ValueError(f"{_ARRAY} must stand alone and hold [dtype, shape]")
    name, shape = parts
    if not isinstance(name, str) or name not in _DTYPES:
        raise ValueError(f"unknown array dtype {name!r:.40}")
    if not isinstance(shape, list) or len(shape) > _MAX_DIMENSIONS or not all(_is_size(size) for size in shape):
        raise ValueError(f"bad array shape {shape!r:.80}")
    return _ArrayForm(name, tuple(shape), math.prod(shape) * _LITTLE[name].itemsize)


def _is_size(size: Any) -> bool:
    return type(size) is int and 0 <= size <= MAX_BYTES
