"""The tokens and the cost that each CLI tells, by kind and by model. What it does not tell is `None`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from backends.events import SessionFinished, TurnFinished, Usage
from backends.registry import backend, names
from backends.reported_usage import OTHER_MODELS
from backends.session import Session, fold


def read(name: str, *lines: dict[str, Any]) -> Session:
    return fold(event for line in lines for event in backend(name).decode(json.dumps(line).encode()))


def claude(model: str, id_: str = "m", **usage: int | None) -> dict[str, Any]:
    content = [{"type": "text", "text": "x"}]
    return {"type": "assistant", "message": {"id": id_, "model": model, "content": content, "usage": usage}}


def pi(model: str, usage: dict[str, Any] | None) -> dict[str, Any]:
    content = [{"type": "text", "text": "x"}]
    message = {"role": "assistant", "model": model, "content": content, "usage": usage, "responseId": model}
    return {"type": "message_end", "message": message}


def opencode(**part: Any) -> dict[str, Any]:
    return {"type": "step_finish", "part": {"messageID": "m", "reason": "stop"} | part}


def codex_log(model: str, *, at: int) -> str:
    counts = "input_token_count=9 output_token_count=5 cached_token_count=4 cache_write_token_count=0"
    ends = f"reasoning_token_count=3 tool_token_count=9 conversation.id=c app.version=1 {model}"
    return f"2026-11-22T13:13:5{at}.0Z  INFO codex_otel.trace_safe: event.name=x {counts} {ends}\n"


@pytest.mark.parametrize("name", names())
def test_nothing_is_told_by_nothing(name: str) -> None:
    session = read(name)
    assert (session.usage, session.cost_usd, session.usage_by_model) == (Usage(), None, {})


@pytest.mark.parametrize(
    ("name", "line", "told", "cost_usd"),
    [
        ("claude", claude("m"), Usage(), None),
        ("claude", claude("m", input_tokens=3, output_tokens=None), Usage(input_tokens=3), None),
        ("claude", {"type": "result", "subtype": "success"}, Usage(), None),
        ("claude", {"type": "result", "modelUsage": {"m": {"inputTokens": 0}}}, Usage(input_tokens=0), None),
        ("claude", {"type": "result", "total_cost_usd": 0}, Usage(), 0.0),
        ("codex", {"type": "turn.completed"}, Usage(), None),
        ("opencode", opencode(), Usage(), None),
        ("opencode", opencode(tokens={"output": 3}, cost=0), Usage(output_tokens=3), 0.0),
        ("opencode", opencode(tokens={"cache": {"read": 0}}), Usage(cache_read_tokens=0), None),
        ("opencode", opencode(tokens={"output": 3, "reasoning": 2}), Usage(output_tokens=5, reasoning_tokens=2), None),
        ("pi", pi("m", None), Usage(), None),
        ("pi", pi("m", {"input": 3, "cacheRead": 0}), Usage(input_tokens=3, cache_read_tokens=0), None),
        ("pi", pi("m", {"cost": {"total": 0.5}}), Usage(), 0.5),
    ],
)
def test_a_count_that_is_not_told_is_none(name: str, line: dict[str, Any], told: Usage, cost_usd: float | None) -> None:
    session = read(name, line)
    assert (session.usage, session.cost_usd) == (told, cost_usd)


def test_a_sum_counts_what_is_told() -> None:
    session = read("claude", claude("m", input_tokens=3), claude("m", "n", output_tokens=2), claude("m", "o"))
    assert session.usage == Usage(input_tokens=3, output_tokens=2)


class TestByModel:
    def test_claude_tells_it_in_its_totals(self) -> None:
        result = {"type": "result", "modelUsage": {"a[1m]": {"inputTokens": 5}, "b": {"outputTokens": 2}}}
        session = read("claude", claude("a", input_tokens=3), result)
        assert session.usage_by_model == {"a[1m]": Usage(input_tokens=5), "b": Usage(output_tokens=2)}

    def test_claude_tells_it_in_each_response_if_it_is_stopped_before(self) -> None:
        lines = [
            claude("a", input_tokens=3),
            claude("a", input_tokens=3, output_tokens=1),
            claude("b", "n", input_tokens=7),
        ]
        assert read("claude", *lines).usage_by_model == {
            "a": Usage(input_tokens=3, output_tokens=1),
            "b": Usage(input_tokens=7),
        }

    def test_pi_tells_it_in_each_message(self) -> None:
        assert read("pi", pi("a", {"input": 3}), pi("b", {"input": 4})).usage_by_model == {
            "a": Usage(input_tokens=3),
            "b": Usage(input_tokens=4),
        }

    def test_codex_tells_it_in_its_log(self) -> None:
        log = codex_log("model=a slug=a", at=0) + codex_log("model=b", at=1) + codex_log("model=b", at=2)
        log += codex_log("", at=3)
        one = Usage(input_tokens=5, output_tokens=5, cache_read_tokens=4, cache_write_tokens=0, reasoning_tokens=3)
        session = fold(backend("codex").read_stderr(log))
        assert session.turns == 4
        assert session.usage_by_model == {"a": one, "b": one + one}

    def test_opencode_does_not_tell_it(self) -> None:
        assert read("opencode", opencode(tokens={"input": 3})).usage_by_model == {}

    def test_many_models_take_little_memory_and_no_token_is_lost(self) -> None:
        one = Usage(input_tokens=1)
        session = fold(TurnFinished(turn=str(n), usage=one, model=f"m{n}") for n in range(1000))
        assert len(session.usage_by_model) == 65
        assert session.usage_by_model[OTHER_MODELS] == Usage(input_tokens=936)
        assert sum(session.usage_by_model.values(), Usage()) == session.usage


def test_totals_only_grow() -> None:
    session = fold([SessionFinished(cost_usd=0.5, usage=Usage(input_tokens=5)), SessionFinished(cost_usd=0.2)])
    assert (session.cost_usd, session.usage) == (0.5, Usage(input_tokens=5))


def resumed(before: Session | None = None, *, total: int | None, responses: Sequence[int] = ()) -> Session:
    """Return a session of Claude Code that goes on with `before`. It is killed if it tells no total."""
    session = Session()
    for number, tokens in enumerate(responses):
        session.add(TurnFinished(turn=f"{number}", usage=Usage(input_tokens=tokens), model="m"))
    if before:
        session.reported.resumes(before.reported)
    if total is not None:
        used = Usage(input_tokens=total)
        session.add(SessionFinished(usage=used, usage_by_model={"m": used}, cost_usd=float(total)))
    return session


def test_the_totals_of_a_resumed_conversation_count_only_what_came_since() -> None:
    """Claude Code saves its totals soon after each response, and goes on with them even if it was killed."""
    first = resumed(total=100)
    killed = resumed(first, total=None)
    third = resumed(killed, total=130)
    assert (third.usage.input_tokens, third.cost_usd) == (30, 30.0)
    assert third.usage_by_model == {"m": Usage(input_tokens=30)}
    assert resumed(third, total=150).usage.input_tokens == 20
    cut = resumed(third, total=None, responses=(7,))
    assert resumed(cut, total=142, responses=(5,)).usage_by_model == {"m": Usage(input_tokens=5)}
    assert resumed(third, total=20).usage.input_tokens == 20, "the earlier process had not saved its totals"


@pytest.mark.parametrize(("told", "total"), [(None, 15), (100, 115)])
@pytest.mark.parametrize("killed", [(7,), (16,), (7, 9)])
def test_totals_that_a_killed_cli_had_not_saved_are_not_taken_away(
    told: int | None, total: int, killed: tuple[int, ...]
) -> None:
    session = resumed(total=told)
    for tokens in killed:
        session = resumed(session, total=None, responses=(tokens,))
    last = resumed(session, total=total, responses=(7, 8))
    assert last.usage_by_model == {"m": Usage(input_tokens=15)}
    assert last.cost_usd == 15.0
