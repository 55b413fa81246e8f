"""Tables as data frames of pandas or polars, which the user installs. Neither is imported until it is needed."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any, Literal

from harness.exports.columns import ColumnType, FlatTable

FrameKind = Literal["pandas", "polars"]

_PANDAS = {
    ColumnType.TEXT: "string",
    ColumnType.INTEGER: "Int64",
    ColumnType.NUMBER: "Float64",
    ColumnType.BOOLEAN: "boolean",
    ColumnType.TIME: "datetime64[ms, UTC]",
}
"""The types of pandas that can all hold a missing value, so that no count becomes a float."""

_KINDS: tuple[FrameKind, ...] = ("pandas", "polars")


def frame_of(table: FlatTable, kind: FrameKind | None) -> Any:
    """Return the table as a `pandas.DataFrame` or a `polars.DataFrame`.

    Without a kind, take pandas if it is installed, and otherwise polars. Raise `ImportError` if the package is not
    installed, and `ValueError` for any other kind.
    """
    chosen = _installed() if kind is None else kind
    if chosen == "pandas":
        return _pandas_frame(table)
    if chosen == "polars":
        return _polars_frame(table)
    raise ValueError(f"frame={kind!r}: choose 'pandas' or 'polars'")


def _installed() -> FrameKind:
    for kind in _KINDS:
        if find_spec(kind):
            return kind
    raise ImportError("a data frame needs pandas or polars: install one of them, by pip install pandas")


def _imported(kind: FrameKind) -> Any:
    try:
        return import_module(kind)
    except ModuleNotFoundError as error:
        if error.name != kind:
            raise
        raise ImportError(f"frame={kind!r} needs {kind}: install it, by pip install {kind}") from error


def _pandas_frame(table: FlatTable) -> Any:
    pandas = _imported("pandas")
    return pandas.DataFrame(
        {
            column.name: pandas.Series(table.column(number), dtype=_PANDAS[column.type])
            for number, column in enumerate(table.columns)
        }
    )


def _polars_frame(table: FlatTable) -> Any:
    polars = _imported("polars")
    types = {
        ColumnType.TEXT: polars.String,
        ColumnType.INTEGER: polars.Int64,
        ColumnType.NUMBER: polars.Float64,
        ColumnType.BOOLEAN: polars.Boolean,
        ColumnType.TIME: polars.Datetime("ms", "UTC"),
    }
    return polars.DataFrame(
        {column.name: table.column(number) for number, column in enumerate(table.columns)},
        schema={column.name: types[column.type] for column in table.columns},
    )
