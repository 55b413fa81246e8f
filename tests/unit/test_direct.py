"""The backend `direct`: what it asks over each wire, and what it makes of the answers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from backends.direct import BACKEND, program
from backends.events import Error, ErrorKind, Event, SessionFinished, Text, TurnFinished
from backends.session import Session, fold
from tests.support.scripted_gateway import Opener, scripted_gateway

WIRES = pytest.mark.parametrize("wire", BACKEND.capabilities.wires)
TURNS = (
    "[{calls: [{run: ls}]}, {text: Look., calls: [{write: approach.py, content: 'x = 1'}]}, {text: No.}, "
    "{text: Sorry, truncated: true}]"
)


@pytest.fixture(scope="module")
def opener(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opener]:
    with scripted_gateway(tmp_path_factory.mktemp("gateway")) as opened:
        yield opened


def answer(url: str, wire: str) -> program.Completion:
    return program.ask(url, wire, program.asking(wire, "demo", "Solve it.", "Work alone.", 500))


def printed(*lines: Mapping[str, object]) -> list[Event]:
    return [event for line in lines for event in BACKEND.decode(json.dumps(line).encode())]


@WIRES
def test_each_answer_is_a_turn_and_is_read_whole_over_every_wire(opener: Opener, wire: str) -> None:
    session = opener(TURNS, turns=3, toolless=True)
    url = str(session.client.base_url).rstrip("/")
    first, second, third = (answer(url, wire) for _ in range(3))
    assert program.files(first.text) == {"approach.py": "# file: approach.py\nx = 1\n"}
    assert first.text.startswith("Look.")
    assert (first.stop, second.stop, third.stop) == ("end", "end", "output_limit")
    assert (second.text, third.text) == ("No.", "Sorry")
    with pytest.raises(program.Failed, match="all of its turns"):
        answer(url, wire)
    metered = session.account.metered()
    assert (metered.turns, metered.side_requests) == (3, 0)
    assert metered.output_tokens == sum(one.usage["output_tokens"] for one in (first, second, third))
    assert metered.input_tokens == sum(one.usage["input_tokens"] for one in (first, second, third))
    assert [line["max_output"] for line in session.ledger()] == [500] * 4


@WIRES
@pytest.mark.parametrize("way", ["status: 429", "status: 401", "cut_after: 1", "malformed: true", "html: true"])
def test_an_answer_that_fails_is_no_answer(opener: Opener, wire: str, way: str) -> None:
    session = opener(f"[{{text: a long enough text, fail: {{{way}, times: 1}}}}]", toolless=True)
    url = str(session.client.base_url).rstrip("/")
    with pytest.raises(program.Failed) as failed:
        answer(url, wire)
    assert failed.value.status == (int(way[-3:]) if "status" in way else 502 if "html" in way else None)
    assert answer(url, wire).text == "a long enough text"


@pytest.mark.parametrize(
    ("message", "status", "kind"),
    [
        ("slow down", 429, ErrorKind.RATE_LIMIT),
        ("no such key", 401, ErrorKind.AUTH),
        ("overloaded", 529, ErrorKind.MODEL_ERROR),
        ("the prompt was blocked: SAFETY", None, ErrorKind.REFUSED),
        ("the answer broke off before its end", None, ErrorKind.MODEL_ERROR),
    ],
)
def test_a_failure_is_named_as_for_any_agent(message: str, status: int | None, kind: ErrorKind) -> None:
    session = fold(printed({"type": "direct.failed", "message": message, "status": status}))
    assert session.failure is not None
    assert session.failure.kind is kind


def test_a_session_counts_its_completions() -> None:
    usage = {"input_tokens": 5, "output_tokens": 7}
    lines = [{"type": "direct.answer", "turn": str(n), "text": "hi", "usage": usage, "model": "m"} for n in (1, 2)]
    session: Session = fold(printed({"type": "direct.started", "model": "m"}, *lines, {"type": "direct.finished"}))
    assert (session.turns, session.usage.input_tokens, session.usage.output_tokens) == (2, 10, 14)
    assert session.final is not None
    assert session.failure is None


@pytest.mark.parametrize(
    ("reason", "kind"),
    [("output_limit", ErrorKind.OUTPUT_TOKENS), ("refused", ErrorKind.REFUSED), ("end", None)],
)
def test_the_last_line_says_whether_any_answer_was_whole(reason: str, kind: ErrorKind | None) -> None:
    events = printed({"type": "direct.finished", "reason": reason})
    assert [event.kind for event in events if isinstance(event, Error)] == ([kind] if kind else [])
    assert isinstance(events[-1], SessionFinished)


def test_an_unknown_line_stays_visible() -> None:
    assert [type(event).__name__ for event in BACKEND.decode(b'{"type": "new"}')] == ["Unknown"]
    assert [type(event).__name__ for event in BACKEND.decode(b"oops")] == ["Malformed"]
    assert not any(isinstance(event, Text | TurnFinished) for event in BACKEND.decode(b"{}"))


class TestFiles:
    """The files in an answer."""

    def test_one_python_block_is_the_program(self) -> None:
        assert program.files("Here:\n```python\nx = 1\n```\nDone.") == {"approach.py": "x = 1\n"}

    def test_a_block_that_never_ends_goes_on_to_the_end(self) -> None:
        assert program.files("```py\nx = 1\ny =") == {"approach.py": "x = 1\ny =\n"}

    def test_named_blocks_are_files(self) -> None:
        text = (
            "```python\n# file: approach.py\nimport a.b\n```\n~~~\n# file: a/b.py\n```\nx\n```\n~~~\n```text\nno\n```"
        )
        assert program.files(text) == {
            "approach.py": "# file: approach.py\nimport a.b\n",
            "a/b.py": "# file: a/b.py\n```\nx\n```\n",
        }

    def test_of_several_programs_the_last_one_counts(self) -> None:
        text = (
            "```python\nclass GeneratedApproach: 1\n```\n```python\nclass GeneratedApproach: 2\n```\n```\nuse(it)\n```"
        )
        assert program.files(text) == {"approach.py": "class GeneratedApproach: 2\n"}

    def test_an_answer_may_be_the_program_itself(self) -> None:
        assert program.files("class GeneratedApproach:\n    pass") == {
            "approach.py": "class GeneratedApproach:\n    pass"
        }

    @pytest.mark.parametrize("text", ["", "I cannot do that.", "```json\n{}\n```"])
    def test_an_answer_without_a_program_has_no_files(self, text: str) -> None:
        assert program.files(text) == {}

    @pytest.mark.parametrize("name", ["/etc/x.py", "../x.py", "a/../../x.py", ".hidden/x.py", "."])
    def test_a_name_outside_the_folder_is_left_out(self, name: str, tmp_path: Path) -> None:
        assert program.files(f"```python\n# file: {name}\nx\n```") == {}
        assert program.write(tmp_path, {"a": "1", "a/b": "2"}) == ["a/b"]
