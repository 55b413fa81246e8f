"""Text of a submission is made safe to print."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from harness.evaluation.text import MAX_CHARACTERS, printable


@given(st.text(alphabet=st.characters(exclude_categories=())))
@example("\x1b[31mred\x1b[0m\x1b]0;title\x07\x9b2J\u202e\ud800\r\x08")
def test_no_character_is_left_that_a_terminal_obeys(text: str) -> None:
    assert all(character.isprintable() or character in "\n\t" for character in printable(text))


@given(st.text(alphabet=st.characters(categories=("L", "N", "P")) | st.just(" ")).filter(str.isprintable))
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert printable(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x07", "link"),
        ("a\x1bcb", "ab"),
        ("a\nb\tc\r\n", "a\nb\tc\n"),
    ],
)
def test_escape_sequences_are_removed_whole(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_the_end_of_a_long_text_is_kept() -> None:
    shown = printable("start " + "x" * 1_000_000 + " ValueError: the reason")
    assert len(shown) == MAX_CHARACTERS
    assert shown.endswith("ValueError: the reason")
