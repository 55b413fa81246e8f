"""Text of unknown origin as it is shown: nothing in it can steer a terminal or stop a report."""

from __future__ import annotations

import unicodedata
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from harness.live.board import Board
from harness.live.line import CaseProgress, fitted
from harness.live.status import StatusFile, WorkerStatus, read_statuses
from harness.visible import visible, visible_struct

TEXTS = st.text(st.characters())
"""Any text, lone surrogates included."""


class Kept(msgspec.Struct):
    text: str
    more: dict[str, Any]
    names: tuple[str, ...] = ()


@given(TEXTS)
def test_no_character_steers_a_terminal_or_cannot_be_encoded(text: str) -> None:
    shown = visible(text)
    shown.encode()
    steering = {unicodedata.category(character) for character in shown if character not in "\n\t"}
    assert not steering & {"Cc", "Cf", "Cs", "Zl", "Zp"}


@given(TEXTS)
def test_a_text_that_was_made_visible_stays_as_it_is(text: str) -> None:
    assert visible(visible(text)) == visible(text)


@given(st.text(st.characters(categories=["L", "N", "P", "S", "Zs"])))
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert visible(text) == text


def test_what_is_not_shown_is_named_by_its_number() -> None:
    assert visible("a\x1b[2J\u202e\ud800\x9b\U000e0001b\n") == ("a\\u001b[2J\\u202e\\ud800\\u009b\\U000e0001b\n")


@given(TEXTS, TEXTS)
def test_each_text_of_a_struct_can_be_written(text: str, key: str) -> None:
    kept = Kept(text, {key: [text, {"deep": text}, 1, None, 0.5]}, (text,))
    found = msgspec.json.decode(msgspec.json.encode(visible_struct(kept)), type=Kept)
    shown = visible(text)
    assert found == Kept(shown, {visible(key): [shown, {"deep": shown}, 1, None, 0.5]}, (shown,))


@given(TEXTS)
def test_the_live_views_show_the_name_of_any_tool(tmp_path_factory: Any, tool: str) -> None:
    folder = tmp_path_factory.mktemp("live")
    progress = CaseProgress(case="case", turn=1, last_tool=tool)
    StatusFile(folder / "gw0.json").show(progress)
    status = read_statuses(folder)["gw0"]
    assert status == WorkerStatus(case="case", turn=1, last_tool=status.last_tool)
    statuses = {"gw0": WorkerStatus(case="case", last_tool=tool)}
    board = Board(["case"], {}).lines(statuses, now=0, workers=1, columns=80, rows=9)
    for line in (fitted(str(progress), 80), *board):
        line.encode()
        assert line.isprintable()
