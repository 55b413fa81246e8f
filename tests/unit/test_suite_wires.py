"""Which wire a case uses, and what happens where a CLI and a provider have none in common."""

from __future__ import annotations

import pytest

from harness.case import Case
from harness.endings import ConfError
from harness.suite import matrix
from harness.suite.config import load
from tests.support.project import CONF


def found(monkeypatch: pytest.MonkeyPatch, backend: str, wires: str, *, extra: bool) -> Case:
    """Return the case of a backend whose provider speaks these wires, with or without the extra."""
    monkeypatch.setattr(matrix, "can_translate", lambda: extra)
    settings = [f"suite.backends=[{backend}]", "suite.environments=[small_maze]", f"provider.scripted.wires=[{wires}]"]
    [case] = matrix.cases(load(CONF, "default", settings))
    return case


@pytest.mark.parametrize("extra", [False, True])
def test_a_wire_that_both_speak_is_used_as_it_is(monkeypatch: pytest.MonkeyPatch, *, extra: bool) -> None:
    case = found(monkeypatch, "claude", "openai_chat,anthropic_messages", extra=extra)
    assert (case.wire, case.translated) == ("anthropic_messages", None)


@pytest.mark.parametrize(
    ("backend", "spoken", "wires", "first"),
    [
        ("claude", "anthropic_messages", "openai_responses,openai_chat", "openai_responses"),
        ("claude", "anthropic_messages", "google_generate", "google_generate"),
        ("codex", "openai_responses", "anthropic_messages", "anthropic_messages"),
    ],
)
def test_without_one_the_gateway_translates_to_the_providers_first(
    monkeypatch: pytest.MonkeyPatch, backend: str, spoken: str, wires: str, first: str
) -> None:
    case = found(monkeypatch, backend, wires, extra=True)
    assert (case.wire, case.translated) == (spoken, first)


def test_without_the_extra_such_a_case_is_refused_and_the_message_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(ConfError) as refused:
        found(monkeypatch, "codex", "anthropic_messages", extra=False)
    said = str(refused.value)
    assert "codex cannot use model scripted: it speaks openai_responses" in said
    assert "(conf/provider/scripted.yaml) speaks anthropic_messages" in said
    assert "run `proctor setup --extra translate`" in said
    assert "add to suite.exclude: {backend: codex, model: scripted}" in said


@pytest.mark.parametrize("extra", [False, True])
def test_a_provider_without_any_wire_is_refused(monkeypatch: pytest.MonkeyPatch, *, extra: bool) -> None:
    with pytest.raises(ConfError, match=r"speaks no wire; add to suite\.exclude: ") as refused:
        found(monkeypatch, "claude", "", extra=extra)
    assert "setup" not in str(refused.value)
