"""Reads a page as its own script does, without a browser."""

from __future__ import annotations

import base64
import gzip
import json
import re
from pathlib import Path
from typing import Any

from harness.page.packing import MARK


class Page:
    """The data of a page. `rows` are those of its cases, one dictionary each."""

    def __init__(self, file: Path) -> None:
        self.text = file.read_text(encoding="utf-8")
        self._data = dict(re.findall(r'<script type="text/plain" id="([\w-]+)">([^<]*)</script>', self.text))
        self.overview: dict[str, Any] = _unpacked(self._data["overview"])
        columns = self.overview["rows"]
        self.rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]

    def details(self, case: str) -> dict[str, Any]:
        """Return everything that the page has of the first case with this id."""
        [key, *_] = [row["key"] for row in self.rows if row["id"] == case]
        block, place = key.split(".")
        found: dict[str, Any] = unpacked_block(self._data[f"block-{block}"])[int(place)]
        return found


def unpacked_block(text: str) -> list[Any]:
    """Return the details in a block."""
    texts, held = _unpacked(text)
    return [_whole(details, texts) for details in held]


def _unpacked(text: str) -> Any:
    return json.loads(gzip.decompress(base64.b64decode(text)))


def _whole(value: Any, texts: list[str]) -> Any:
    if isinstance(value, str):
        return texts[int(value[1:])] if value.startswith(MARK) else value
    if isinstance(value, dict):
        return {key: _whole(item, texts) for key, item in value.items()}
    return [_whole(item, texts) for item in value] if isinstance(value, list) else value
