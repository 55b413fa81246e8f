"""Plain data as JSON bytes: the one format that crosses the border between the harness and a submission.

Plain data is `None`, bool, int, float, str, NumPy arrays of numbers or bools, and lists and string-keyed dicts of
these. An array is the object `{"__array__": [DTYPE, SHAPE, BASE64]}`, little-endian and C-ordered. A non-finite float
is one of the literals NaN, Infinity and -Infinity of Python's JSON. Neither side can make the other run code: nothing
here is a pickle, and `loads` raises `ValueError` for everything that is not exactly this format.

This file needs only the standard library and NumPy, so that it can be copied into the policy's sandbox and imported
there.
"""

from __future__ import annotations

import base64
import json
import math
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
_MAX_DIMENSIONS = 16


def dumps(value: Any) -> bytes:
    """Encode plain data as one line of JSON.

    Tuples become lists, and NumPy scalars become Python ones. Raise `ValueError` for anything that is not plain data,
    that is nested deeper than `MAX_DEPTH` (such as a cycle), or that is longer than `MAX_BYTES`.
    """
    data = json.dumps(_to_json(value, 0), separators=(",", ":")).encode("ascii")
    if len(data) > MAX_BYTES:
        raise ValueError(f"the data takes {len(data)} bytes, more than {MAX_BYTES}")
    return data


def loads(data: bytes, limit: int = MAX_BYTES) -> Any:
    """Decode what `dumps` made. For other bytes, or more than `limit` of them, raise `ValueError` and nothing else."""
    if len(data) > limit:
        raise ValueError(f"the data takes {len(data)} bytes, more than {limit}")
    try:
        tree = json.loads(data.decode("utf-8"), object_pairs_hook=_unique)
    except RecursionError:
        raise ValueError(f"nested deeper than {MAX_DEPTH}") from None
    return _from_json(tree, 0)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) != len(pairs):
        raise ValueError("an object has the same key twice")
    return unique


def _to_json(value: Any, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise ValueError(f"nested deeper than {MAX_DEPTH}")
    if isinstance(value, np.ndarray):
        return {_ARRAY: _array_to_json(value)}
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [_to_json(item, depth + 1) for item in value]
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str) or key == _ARRAY:
                raise ValueError(f"{key!r} cannot be a key: keys are strings other than {_ARRAY}")
        return {key: _to_json(item, depth + 1) for key, item in value.items()}
    raise ValueError(f"a value of type {type(value).__name__} is not plain data")


def _from_json(value: Any, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise ValueError(f"nested deeper than {MAX_DEPTH}")
    if isinstance(value, list):
        return [_from_json(item, depth + 1) for item in value]
    if isinstance(value, dict):
        if _ARRAY in value:
            return _array_from_json(value)
        return {key: _from_json(item, depth + 1) for key, item in value.items()}
    return value


def _array_to_json(array: NDArray[Any]) -> list[Any]:
    if array.dtype.name not in _DTYPES:
        raise ValueError(f"an array of dtype {array.dtype} is not plain data; allowed: {', '.join(sorted(_DTYPES))}")
    if array.ndim > _MAX_DIMENSIONS or any(size > MAX_BYTES for size in array.shape):
        raise ValueError(f"an array of shape {array.shape} is too large")
    content = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    return [array.dtype.name, list(array.shape), base64.b64encode(content).decode("ascii")]


def _array_from_json(value: dict[str, Any]) -> NDArray[Any]:
    parts = value[_ARRAY]
    if len(value) != 1 or not isinstance(parts, list) or len(parts) != 3:
        raise ValueError(f"{_ARRAY} must stand alone and hold [dtype, shape, base64]")
    name, shape, text = parts
    if not isinstance(name, str) or name not in _DTYPES:
        raise ValueError(f"unknown array dtype {name!r:.40}")
    if not isinstance(shape, list) or len(shape) > _MAX_DIMENSIONS or not all(_is_size(size) for size in shape):
        raise ValueError(f"bad array shape {shape!r:.80}")
    if not isinstance(text, str):
        raise ValueError("an array's content must be base64 text")
    content = base64.b64decode(text, validate=True)
    dtype = np.dtype(name).newbyteorder("<")
    if len(content) != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"an array of shape {shape} and dtype {name} cannot have {len(content)} bytes")
    if name == "bool" and content.strip(b"\0\1"):
        raise ValueError("a bool array holds bytes other than 0 and 1")
    return np.frombuffer(content, dtype).reshape(shape).astype(np.dtype(name))


def _is_size(size: Any) -> bool:
    return type(size) is int and 0 <= size <= MAX_BYTES
