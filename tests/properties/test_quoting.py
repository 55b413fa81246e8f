"""Reading a shell's command line: with the results of `shlex`, for any quotes, and for the quotes of Codex."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backends.codex.quoting import inner_command
from tests.corpus.codex.grammar import quoted

CORPUS = Path(__file__).parents[1] / "corpus" / "codex"
RECORDED = sorted(
    {
        event["item"]["command"]
        for path in CORPUS.glob("*/stream.jsonl")
        for event in map(json.loads, path.read_bytes().splitlines())
        if event.get("item", {}).get("type") == "command_execution"
    }
)

odd_texts = st.text(st.sampled_from("abnu0/é\u2028\xa0 '\"\\$`!^\n\r\t\x00;"), max_size=24)
words = st.text(max_size=24) | odd_texts
starts = st.sampled_from(["/bin/sh -c", "/bin/bash -lc", "zsh -c", "sh  -c", "'/bin/sh' -c", "/bin/cat -c", "/bin/sh"])


def read_by_shlex(command: str) -> str:
    """Return the command that `inner_command` must give: its specification."""
    try:
        shell, option, inner = shlex.split(command)
    except ValueError:
        return command
    return inner if shell.endswith("sh") and option in {"-c", "-lc"} else command


@given(word=words)
def test_a_quoted_command_is_read_back(word: str) -> None:
    assert inner_command(f"/bin/sh -c {quoted(word)}") == word
    assert inner_command(shlex.join(["/bin/bash", "-lc", word])) == word


@given(start=starts, rest=odd_texts)
@example(start="/bin/sh -c", rest='"\\u0022\\n"')
@example(start="/bin/sh -c", rest="'it'\\''s'")
@example(start="/bin/sh -c", rest="")
def test_any_command_line_is_read_as_shlex_reads_it(start: str, rest: str) -> None:
    command = f"{start} {rest}"
    assert inner_command(command) == read_by_shlex(command)


@given(start=starts, parts=st.lists(st.tuples(st.sampled_from(["", "'", '"']), odd_texts), max_size=5))
def test_any_parts_of_a_word_are_read_as_shlex_reads_them(start: str, parts: list[tuple[str, str]]) -> None:
    command = f"{start} {''.join(quote + text + quote for quote, text in parts)}"
    assert inner_command(command) == read_by_shlex(command)


@pytest.mark.parametrize("command", RECORDED)
def test_codex_quotes_as_in_its_grammar(command: str) -> None:
    assert f"/bin/sh -c {quoted(inner_command(command))}" == command
