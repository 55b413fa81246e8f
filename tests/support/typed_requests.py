"""Requests made from the types of the official clients, which `tests/clients/types` holds as JSON schemas."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

TYPES = Path(__file__).parents[1] / "clients" / "types"
DEEPEST = 7
"""How deep a request is nested before it takes the shortest way to its end."""
SIMPLE: dict[str, list[Any]] = {
    "string": ["a", "", "demo"],
    "integer": [1, 0, 64],
    "number": [1, 0.5],
    "boolean": [True, False],
    "null": [None],
}
"""Values of the simple types. A field that may hold anything is a JSON schema, and is empty here."""


@cache
def type_of(wire: str) -> Any:
    """Return the JSON schema of a wire's requests."""
    return json.loads((TYPES / f"{wire}.json").read_text("utf-8"))["schema"]


class Maker:
    """Makes values of one schema. `random` decides, and each value that may be null is null in every third case."""

    def __init__(self, schema: Mapping[str, Any], random: Random) -> None:
        self._schema = schema
        self._definitions: Mapping[str, Any] = schema.get("$defs", {})
        self._random = random

    def request(self) -> Any:
        """Return a request that the types allow."""
        return self._value(self._schema, 0)

    def _value(self, schema: Mapping[str, Any], depth: int) -> Any:
        if "$ref" in schema:
            return self._value(self._definitions[schema["$ref"].rpartition("/")[2]], depth)
        if choices := schema.get("anyOf") or schema.get("oneOf"):
            return self._one_of(choices, depth)
        if "const" in schema:
            return schema["const"]
        kind = schema.get("type")
        if kind == "object":
            return self._object(schema, depth)
        if kind == "array":
            most = 0 if depth > DEEPEST else 2
            items = schema.get("items", {})
            return [self._value(items, depth + 1) for _ in range(self._random.randint(0, most))]
        return self._random.choice(schema.get("enum") or SIMPLE.get(str(kind), [{}]))

    def _one_of(self, choices: list[Any], depth: int) -> Any:
        if {"type": "null"} in choices and (depth > DEEPEST or self._random.random() < 1 / 3):
            return None
        simple = [
            choice for choice in choices if "$ref" not in choice and choice.get("type") not in {"array", "object"}
        ]
        return self._value(self._random.choice((depth > DEEPEST and simple) or choices), depth)

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        required, properties = schema.get("required", ()), schema.get("properties", {})
        share = 0.0 if depth > DEEPEST else 0.3
        return {
            name: self._value(held, depth + 1)
            for name, held in properties.items()
            if name in required or self._random.random() < share
        }


def without_nulls(value: Any) -> Any:
    """Return a value without the fields that are null."""
    if isinstance(value, list):
        return [without_nulls(one) for one in value]
    if isinstance(value, dict):
        return {name: without_nulls(held) for name, held in value.items() if held is not None}
    return value
