"""Reads pages of `docs/`: their tables and code blocks, and their words for the types of fields."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from msgspec import NODEFAULT, Struct, inspect

from tests.support.project import ROOT

Row = dict[str, str]

_HEADING = re.compile(r"#+ (.*)")
_PLAIN = {
    inspect.IntType: "integer",
    inspect.FloatType: "number",
    inspect.StrType: "text",
    inspect.BoolType: "true or false",
    inspect.DateType: "date",
    inspect.LiteralType: "text",
    inspect.NoneType: "null",
    inspect.AnyType: "anything",
}


class CodeBlock(Struct, frozen=True):
    """One fenced block: the language after its fence, the text, and the last line of prose before it."""

    language: str
    text: str
    before: str


def page(name: str) -> str:
    """Return the text of a page, by its path in this repository."""
    return (ROOT / name).read_text()


def section(text: str, heading: str) -> str:
    """Return the text below this heading, up to the next heading of any level. Raise `LookupError` if it is missing."""
    lines: list[str] = []
    inside = found = False
    for line in text.splitlines():
        if (title := _HEADING.fullmatch(line)) is not None:
            inside = title[1] == heading
            found = found or inside
        elif inside:
            lines.append(line)
    if not found:
        raise LookupError(f"no heading {heading!r}")
    return "\n".join(lines)


def table(text: str, heading: str) -> list[Row]:
    """Return the rows of the first table below this heading, each as a mapping from column to cell."""
    found = re.search(r"^\|.*(?:\n\|.*)*", section(text, heading), re.MULTILINE)
    if found is None:
        raise LookupError(f"no table below the heading {heading!r}")
    head, _rule, *rows = map(_cells, found[0].splitlines())
    return [dict(zip(head, row, strict=True)) for row in rows]


def code_blocks(text: str) -> list[CodeBlock]:
    """Return the fenced blocks of a page, in order."""
    found = re.finditer(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [CodeBlock(block[1], block[2], text[: block.start()].strip().rpartition("\n")[2]) for block in found]


def code(cell: str) -> str:
    """Return the code at the beginning of a cell: `turns` for the cell "`turns` (a count)"."""
    found = re.match(r"`([^`]*)`", cell)
    if found is None:
        raise ValueError(f"the cell {cell!r} does not begin with code")
    return found[1]


def structs_in(*roots: type[Struct]) -> list[type[Struct]]:
    """Return these structs and all structs in their fields, each once."""
    found: dict[type[Struct], None] = {}

    def visit(kind: inspect.Type) -> None:
        if isinstance(kind, inspect.StructType) and kind.cls not in found:
            found[kind.cls] = None
            for field in kind.fields:
                visit(field.type)
        for inner in _inner(kind):
            visit(inner)

    for root in roots:
        visit(inspect.type_info(root))
    return list(found)


def fields(kind: type[Struct]) -> dict[str, str]:
    """Return the words that the tables of `docs/` use for the type of each field."""
    return {field.encode_name: _words(field.type) for field in _struct(kind).fields}


def defaults(kind: type[Struct]) -> dict[str, str]:
    """Return the default of each field as a conf file writes it, or `required` for a field without a default."""
    return {field.encode_name: _default(field) for field in _struct(kind).fields}


def _struct(kind: type[Struct]) -> inspect.StructType:
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType)
    return info


def _cells(line: str) -> list[str]:
    return [cell.strip().replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]


def _inner(kind: inspect.Type) -> list[inspect.Type]:
    match kind:
        case inspect.UnionType():
            return list(kind.types)
        case inspect.ListType() | inspect.VarTupleType() | inspect.SetType() | inspect.FrozenSetType():
            return [kind.item_type]
        case inspect.DictType():
            return [kind.value_type]
        case inspect.Metadata():
            return [kind.type]
    return []


def _words(kind: inspect.Type) -> str:
    match kind:
        case inspect.StructType() | inspect.EnumType():
            return f"`{kind.cls.__name__}`"
        case inspect.UnionType():
            return " or ".join(sorted(map(_words, kind.types), key="null".__eq__))
        case inspect.DictType():
            return (
                "mapping" if isinstance(kind.value_type, inspect.AnyType) else f"mapping to {_words(kind.value_type)}"
            )
        case inspect.Metadata():
            return _words(kind.type)
    inner = _inner(kind)
    return f"list of {_words(inner[0])}" if inner else _PLAIN[type(kind)]


def _default(field: inspect.Field) -> str:
    value: Any = field.default
    if value is NODEFAULT and field.default_factory is not NODEFAULT:
        value = field.default_factory()
    if value is NODEFAULT:
        return "required"
    written = msgspec.json.encode(value).decode()
    return written.removesuffix(".0") if isinstance(value, float) else written.strip('"')
