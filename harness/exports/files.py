"""Tables as files: CSV by Python itself, and Parquet by pyarrow, which the user installs."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from harness.exports.columns import ColumnType, FlatTable, Value
from harness.lazy import LazyModule

arrow = LazyModule("pyarrow")
parquet = LazyModule("pyarrow.parquet")

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""How a text begins that a spreadsheet would run as a formula."""


def write_csv(table: FlatTable, path: Path) -> None:
    """Write the table as CSV (RFC 4180, UTF-8), with the names of the columns in its first line.

    An empty cell is not known. A text that a spreadsheet would run as a formula gets a `'` before it, because agents
    wrote some of the texts. Raise `OSError` if the file cannot be written.
    """

    def write(place: Path) -> None:
        with place.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(column.name for column in table.columns)
            writer.writerows([_cell(value) for value in row] for row in table.rows)

    written(path, write)


def write_parquet(table: FlatTable, path: Path) -> None:
    """Write the table as Parquet. Raise `ImportError` without pyarrow, and `OSError` if the file cannot be written."""
    try:
        types = {
            ColumnType.TEXT: arrow.string(),
            ColumnType.INTEGER: arrow.int64(),
            ColumnType.NUMBER: arrow.float64(),
            ColumnType.BOOLEAN: arrow.bool_(),
            ColumnType.TIME: arrow.timestamp("ms", tz="UTC"),
        }
    except ModuleNotFoundError as error:
        raise ImportError("Parquet needs pyarrow: install it, by pip install pyarrow") from error
    arrays = {
        column.name: arrow.array(table.column(number), type=types[column.type])
        for number, column in enumerate(table.columns)
    }
    written(path, lambda place: parquet.write_table(arrow.table(arrays), place))


def _cell(value: Value) -> str | int | float:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case datetime():
            return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        case str():
            return f"'{value}" if value.startswith(_FORMULA) else value
    return value


def written(path: Path, write: Callable[[Path], None]) -> None:
    """Write a file in one step. What is there already and is no plain file, such as a pipe, is written to as it is."""
    if path.is_symlink() or (path.exists() and not path.is_file()):
        write(path)
        return
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write(new)
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
