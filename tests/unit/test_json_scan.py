"""The scan of JSON texts: what parses is counted exactly, in pieces of any size."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import json_scan
from harness.json_scan import JsonScan, JsonTooLarge, scan

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text('"\\[]{},:é😀a', max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text('"\\[,a', max_size=3), inner, max_size=4),
)


def values(data: Any) -> int:
    """Return how many commas, lists, objects and strings the text of `data` has."""
    match data:
        case dict():
            return max(len(data), 1) + len(data) + sum(map(values, data.values()))
        case list():
            return max(len(data), 1) + sum(map(values, data))
        case str():
            return 1
        case _:
            return 0


def depth(data: Any) -> int:
    match data:
        case dict():
            return 1 + max(map(depth, data.values()), default=0)
        case list():
            return 1 + max(map(depth, data), default=0)
        case _:
            return 0


def accepted(text: bytes, cuts: list[int]) -> bool:
    scanning, places = JsonScan(), sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    try:
        for start, end in pairwise(places):
            scanning.feed(text[start:end])
    except JsonTooLarge:
        return False
    return True


@given(data=JSON, cuts=st.lists(st.integers(0, 1000)), ascii_only=st.booleans(), spare=st.integers(-1, 0))
def test_values_and_depth_are_counted_exactly(data: Any, cuts: list[int], ascii_only: bool, spare: int) -> None:
    text = json.dumps(data, ensure_ascii=ascii_only).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_scan, "MAX_VALUES", values(data) + spare)
        assert accepted(text, cuts) == (spare == 0)
        patch.setattr(json_scan, "MAX_VALUES", 10**6)
        patch.setattr(json_scan, "MAX_DEPTH", depth(data) + spare)
        assert accepted(text, cuts) == (spare == 0)


@given(text=st.binary(max_size=300), cuts=st.lists(st.integers(0, 1000)))
def test_anything_can_be_scanned(text: bytes, cuts: list[int]) -> None:
    assert accepted(text, cuts) in {True, False}


@pytest.mark.parametrize(("widest", "width"), [("a", 1), ("é", 2), ("\\u00e9", 2), ("😀", 4), ("\\ud83d\\ude00", 4)])
def test_the_widest_character_sets_the_size_of_a_text(monkeypatch: pytest.MonkeyPatch, widest: str, width: int) -> None:
    text = f'"{"x" * 1000}{widest}"'.encode()
    monkeypatch.setattr(json_scan, "MAX_TEXT", len(text) * width * 2)
    scan(text)
    monkeypatch.setattr(json_scan, "MAX_TEXT", len(text) * width * 2 - 1)
    with pytest.raises(JsonTooLarge, match="its text would take more than"):
        scan(text)
