"""The ending of a session, given its events, its exit code, its standard error and the reason it was stopped."""

from __future__ import annotations

import pytest

from backends import events as ev
from backends.events import ErrorKind, StopReason
from backends.session import fold
from harness.agent.ending import classify
from harness.case import Limits
from harness.endings import Ending


def ending(*events: ev.Event, exit_code: int | None = 0, stderr: str = "", limits: Limits | None = None) -> Ending:
    named, explanation = classify(fold(events), exit_code=exit_code, stderr_tail=stderr, limits=limits)
    assert explanation.isprintable()
    assert 0 < len(explanation) <= 300
    return named


def turn(name: str = "a", reason: StopReason | None = None, text: str = "x") -> tuple[ev.Event, ...]:
    return (
        ev.TurnStarted(turn=name),
        ev.Text(turn=name, text=text),
        ev.TurnFinished(turn=name, stop_reason=reason),
    )


def error(kind: ErrorKind, message: str = "it said\nso \x1b[31m") -> ev.Error:
    return ev.Error(kind=kind, message=message)


DONE = ev.SessionFinished(reason="completed")
FAILED = ev.SessionFinished(is_error=True, reason="success", text="API Error")


def test_a_final_event_is_a_finished_session_whatever_the_exit_code() -> None:
    assert ending(*turn(), DONE) is Ending.FINISHED
    assert ending(*turn(), DONE, exit_code=None) is Ending.FINISHED
    assert ending(*turn(), DONE, exit_code=139) is Ending.FINISHED


def test_without_a_final_event_the_last_response_must_stop_and_the_exit_code_be_0() -> None:
    assert ending(*turn(reason=StopReason.LAST)) is Ending.FINISHED
    assert ending(*turn(reason=StopReason.LAST), exit_code=1) is Ending.CLI_CRASHED
    assert ending(*turn()) is Ending.SILENT_EXIT


def test_a_last_response_that_called_a_tool_does_not_finish_the_session() -> None:
    events = turn(reason=StopReason.LAST)
    assert ending(events[0], ev.ToolCall(turn="a", call_id="c", name="x"), *events[1:]) is Ending.SILENT_EXIT
    assert ending(*events, ev.TurnStarted(turn="b")) is Ending.SILENT_EXIT


def test_no_output_with_exit_code_0_is_a_silent_exit() -> None:
    assert ending() is Ending.SILENT_EXIT
    assert ending(*turn(), exit_code=None) is Ending.SILENT_EXIT


@pytest.mark.parametrize(
    ("kind", "named"),
    [
        (ErrorKind.AUTH, Ending.AUTH_FAILED),
        (ErrorKind.RATE_LIMIT, Ending.RATE_LIMITED),
        (ErrorKind.CONTEXT_OVERFLOW, Ending.CONTEXT_OVERFLOW),
        (ErrorKind.MODEL_UNREACHABLE, Ending.MODEL_UNREACHABLE),
        (ErrorKind.MODEL_ERROR, Ending.MODEL_ERROR),
        (ErrorKind.OUTPUT_TOKENS, Ending.OUTPUT_TOKEN_LIMIT),
        (ErrorKind.MODEL_REFUSED_TOOLS, Ending.MODEL_REFUSED_TOOLS),
        (ErrorKind.REFUSED, Ending.REFUSED),
        (ErrorKind.MALFORMED_TOOL_CALL, Ending.MALFORMED_TOOL_CALL),
        (ErrorKind.MCP, Ending.MCP_UNAVAILABLE),
        (ErrorKind.COMPACTION, Ending.ENDLESS_COMPACTION),
        (ErrorKind.OTHER, Ending.CLI_CRASHED),
    ],
)
def test_an_error_decides_the_ending(kind: ErrorKind, named: Ending) -> None:
    assert ending(*turn(), error(kind), FAILED, exit_code=1) is named


def test_an_error_that_was_overcome_does_not_decide_the_ending() -> None:
    assert ending(error(ErrorKind.MODEL_ERROR), *turn(), DONE) is Ending.FINISHED


def test_a_vague_error_does_not_hide_a_clear_one() -> None:
    assert ending(error(ErrorKind.AUTH), error(ErrorKind.OTHER), FAILED, exit_code=1) is Ending.AUTH_FAILED


@pytest.mark.parametrize(
    ("limit", "named"),
    [
        ("turns", Ending.TURN_LIMIT),
        ("tokens", Ending.TOKEN_LIMIT),
        ("cost_usd", Ending.COST_LIMIT),
        ("", Ending.CLI_CRASHED),
    ],
)
def test_the_limits_of_the_cli_itself_are_limits(limit: str, named: Ending) -> None:
    assert ending(*turn(), ev.SessionFinished(is_error=True, reason="max", limit=limit), exit_code=1) is named


@pytest.mark.parametrize("status", ["failed", "config rejected", "needs-auth"])
def test_an_agent_without_its_mcp_tools_was_not_measured(status: str) -> None:
    started = ev.SessionStarted(mcp_servers={"proctor": status})
    assert ending(started, *turn(), DONE) is Ending.MCP_UNAVAILABLE
    assert ending(started, ev.McpStatus(server="proctor", status="connected"), *turn(), DONE) is Ending.FINISHED


@pytest.mark.parametrize("status", ["connected", "disabled", "pending"])
def test_a_server_that_is_not_known_to_be_absent_is_not(status: str) -> None:
    assert ending(ev.SessionStarted(mcp_servers={"proctor": status}), *turn(), DONE) is Ending.FINISHED


@pytest.mark.parametrize(
    ("listed", "named"),
    [
        ({}, Ending.MCP_UNAVAILABLE),
        ({"other": "connected"}, Ending.MCP_UNAVAILABLE),
        ({"lab": "pending"}, Ending.FINISHED),
        (None, Ending.FINISHED),
    ],
)
def test_a_configured_server_that_the_cli_does_not_list_is_absent(listed: dict[str, str] | None, named: Ending) -> None:
    session = fold((ev.SessionStarted(mcp_servers=listed), *turn(), DONE))
    session.expect_mcp(["lab"])
    assert classify(session, exit_code=0, stderr_tail="")[0] is named


@pytest.mark.parametrize("tool", ["mcp__my_lab__plot", "mcp__my_lab.plot", "my_lab_plot"])
def test_a_server_of_which_a_tool_answered_was_there(tool: str) -> None:
    started = ev.SessionStarted(mcp_servers={"my lab": "failed"})
    call = ev.ToolCall(turn="a", call_id="c", name=tool)
    assert ending(started, call, ev.ToolResult(call_id="c"), *turn(), DONE) is Ending.FINISHED
    assert ending(started, call, ev.ToolResult(call_id="c", is_error=True), *turn(), DONE) is Ending.MCP_UNAVAILABLE


@pytest.mark.parametrize("tool", ["mcp__other__plot", "lab_two_plot", "label"])
def test_the_tool_of_another_server_says_nothing(tool: str) -> None:
    started = ev.SessionStarted(mcp_servers={"lab": "failed", "other": "connected", "lab_two": "connected"})
    call = ev.ToolCall(turn="a", call_id="c", name=tool)
    assert ending(started, call, ev.ToolResult(call_id="c"), *turn(), DONE) is Ending.MCP_UNAVAILABLE


def test_a_last_response_cut_by_its_output_limit() -> None:
    assert ending(*turn(reason=StopReason.OUTPUT_LIMIT)) is Ending.OUTPUT_TOKEN_LIMIT


@pytest.mark.parametrize("exit_code", [0, -9, None])
def test_endless_empty_responses_give_their_ending(exit_code: int | None) -> None:
    empty = [event for name in "abc" for event in turn(name, reason=StopReason.UNKNOWN, text="")]
    assert ending(*empty, exit_code=exit_code) is Ending.EMPTY_STEPS


def test_a_crash_is_recognized_by_signal_or_exit_code() -> None:
    assert ending(*turn(), exit_code=-11) is Ending.CLI_CRASHED
    assert ending(*turn(), exit_code=1, stderr="TypeError: x is undefined") is Ending.CLI_CRASHED
    _, explanation = classify(fold(()), exit_code=7, stderr_tail="one\ntwo\n")
    assert explanation == "the CLI exited with code 7: two"


def test_standard_error_explains_an_ending_that_the_stream_does_not() -> None:
    assert ending(exit_code=1, stderr="log\nError: connect ECONNREFUSED") is Ending.MODEL_UNREACHABLE


@pytest.mark.parametrize("exit_code", [0, 1, -9])
def test_endless_compactions_give_their_ending(exit_code: int) -> None:
    events = [*turn(), ev.Compaction(), ev.Compaction(), ev.Compaction()]
    assert ending(*events, exit_code=exit_code) is Ending.ENDLESS_COMPACTION
    assert ending(*events, ev.ToolCall(turn="b", call_id="c", name="x"), exit_code=1) is Ending.CLI_CRASHED


def test_a_last_response_cut_by_the_context_gives_its_ending() -> None:
    assert ending(*turn(reason=StopReason.CONTEXT_LIMIT)) is Ending.CONTEXT_OVERFLOW


@pytest.mark.parametrize(
    ("resets_at", "said"),
    [
        (1795356000.0, "slow down (resets 2026-11-22 14:00:00 UTC)"),
        ("20 s", "slow down (resets: 20 s)"),
        ("down", "slow down"),
        (None, "slow down"),
        (1e300, "slow down"),
    ],
)
def test_a_rate_limit_says_when_it_ends(resets_at: float | str | None, said: str) -> None:
    events: list[ev.Event] = [ev.RateLimit(resets_at=resets_at), error(ErrorKind.RATE_LIMIT, "slow down")]
    named, explanation = classify(fold(events), exit_code=1, stderr_tail="")
    assert (named, explanation) == (Ending.RATE_LIMITED, said)


def test_a_limit_of_the_cli_is_one_whatever_its_flag_says() -> None:
    assert ending(*turn(), ev.SessionFinished(reason="error_max_turns", limit="turns")) is Ending.TURN_LIMIT


def test_a_final_event_after_a_call_that_never_ran_is_no_end() -> None:
    call = ev.ToolCall(turn="a", call_id="c", name="x")
    events: list[ev.Event] = [ev.TurnStarted(turn="a"), call, ev.TurnFinished(turn="a")]
    assert ending(*events, DONE) is Ending.SILENT_EXIT
    assert ending(*events, ev.ToolResult(call_id="c"), DONE) is Ending.FINISHED
    assert ending(*events, *turn("b"), DONE) is Ending.FINISHED


def test_a_text_after_a_call_is_a_later_response_where_responses_are_not_told_apart() -> None:
    call, text = ev.ToolCall(turn="", call_id="c", name="x"), ev.Text(turn="", text="it goes on in the background")
    assert ending(call, DONE) is Ending.SILENT_EXIT
    assert ending(call, text, DONE) is Ending.FINISHED


def test_an_error_before_a_session_that_succeeded_decides_nothing() -> None:
    succeeded = ev.SessionFinished(succeeded=True, reason="completed")
    assert ending(error(ErrorKind.MODEL_ERROR), succeeded) is Ending.FINISHED
    assert ending(error(ErrorKind.MODEL_ERROR), DONE) is Ending.MODEL_ERROR


def test_an_exit_code_that_may_tell_of_an_overcome_error_decides_nothing() -> None:
    events = [error(ErrorKind.MODEL_ERROR), *turn(reason=StopReason.LAST)]
    assert ending(*events, exit_code=1) is Ending.FINISHED
    assert ending(*events, exit_code=-9) is Ending.CLI_CRASHED
    assert ending(*events, error(ErrorKind.AUTH), exit_code=1) is Ending.AUTH_FAILED


def test_a_last_response_that_was_refused() -> None:
    assert ending(*turn(reason=StopReason.REFUSED)) is Ending.REFUSED
    assert ending(*turn(reason=StopReason.REFUSED), DONE) is Ending.REFUSED
    assert ending(*turn(reason=StopReason.REFUSED), *turn("b"), DONE) is Ending.FINISHED


def test_the_trace_of_a_crash_decides_nothing() -> None:
    trace = "TypeError: x is undefined\n    at stream (cli.js:1)\n    at overloaded (cli.js:2)\n\nNode.js v22.0.0\n"
    named, explanation = classify(fold(()), exit_code=1, stderr_tail=trace)
    assert (named, explanation) == (Ending.CLI_CRASHED, "the CLI exited with code 1: TypeError: x is undefined")


TOLD = {
    "API Error: Claude's response exceeded the 32000 output token maximum.": Ending.OUTPUT_TOKEN_LIMIT,
    "MessageOutputLengthError\n    at run (x.js:1)\n    at y": Ending.OUTPUT_TOKEN_LIMIT,
    "log\nYou're out of extra usage · resets 3am (Europe/Zurich)": Ending.RATE_LIMITED,
    "Opus limit reached ∙ resets 3pm\nlog\nlog": Ending.RATE_LIMITED,
    "prompt is too long: 213462 tokens > 200000 maximum": Ending.CONTEXT_OVERFLOW,
}


@pytest.mark.parametrize("exit_code", [None, 0, 1])
@pytest.mark.parametrize("stderr", TOLD)
def test_standard_error_alone_may_tell_the_ending(stderr: str, exit_code: int | None) -> None:
    assert ending(*turn(), exit_code=exit_code, stderr=stderr) is TOLD[stderr]
    assert ending(*turn(), error(ErrorKind.OTHER), FAILED, exit_code=exit_code, stderr=stderr) is TOLD[stderr]


@pytest.mark.parametrize("stderr", TOLD)
def test_standard_error_says_nothing_about_a_session_that_tells_its_end(stderr: str) -> None:
    assert ending(*turn(), DONE, stderr=stderr) is Ending.FINISHED
    assert ending(*turn(reason=StopReason.LAST), stderr=stderr) is Ending.FINISHED
    assert ending(*turn(), error(ErrorKind.AUTH), FAILED, exit_code=1, stderr=stderr) is Ending.AUTH_FAILED


def test_weak_hints_on_standard_error_do_not_explain_an_exit_with_0() -> None:
    assert ending(*turn(), stderr="level=WARN message=stream timeout") is Ending.SILENT_EXIT


@pytest.mark.parametrize(
    ("limit", "limits", "named"),
    [
        ("turns", Limits(turns=2), Ending.TURN_LIMIT),
        ("turns", Limits(turns=1), Ending.TURN_LIMIT),
        ("turns", Limits(turns=3), Ending.CLI_CRASHED),
        ("turns", Limits(turns=None), Ending.CLI_CRASHED),
        ("tokens", Limits(tokens=70), Ending.TOKEN_LIMIT),
        ("tokens", Limits(tokens=71), Ending.CLI_CRASHED),
        ("tokens", Limits(tokens=None), Ending.CLI_CRASHED),
        ("cost_usd", Limits(cost_usd=0.5), Ending.COST_LIMIT),
        ("cost_usd", Limits(cost_usd=0.6), Ending.CLI_CRASHED),
        ("cost_usd", Limits(cost_usd=None), Ending.CLI_CRASHED),
    ],
)
def test_a_limit_of_the_cli_counts_only_if_the_case_has_reached_its_own(
    limit: str, limits: Limits, named: Ending
) -> None:
    used = ev.Usage(input_tokens=50, output_tokens=20, cache_read_tokens=1000)
    final = ev.SessionFinished(is_error=True, reason="its_max", limit=limit, usage=used, cost_usd=0.5, turns=2)
    assert ending(*turn("a"), *turn("b"), final, exit_code=1, limits=limits) is named


def test_a_cli_that_does_not_tell_what_it_used_is_believed_if_the_case_has_that_limit() -> None:
    final = ev.SessionFinished(is_error=True, reason="its_max", limit="cost_usd")
    assert ending(*turn(), final, limits=Limits(cost_usd=5)) is Ending.COST_LIMIT
    assert ending(*turn(), final, limits=Limits()) is Ending.CLI_CRASHED


def test_a_limit_of_the_cli_that_the_case_does_not_have_is_explained() -> None:
    final = ev.SessionFinished(is_error=True, reason="error_max_budget_usd", limit="cost_usd", cost_usd=0.25)
    _, none = classify(fold([final]), exit_code=1, stderr_tail="", limits=Limits())
    assert none.endswith("its own, error_max_budget_usd, too early: limits.cost_usd is null, and it reports 0.25")
    _, larger = classify(fold([final]), exit_code=1, stderr_tail="", limits=Limits(cost_usd=2))
    assert larger.endswith("limits.cost_usd is 2, and it reports 0.25")


def test_the_case_says_how_many_empty_responses_or_compactions_are_too_many() -> None:
    empty = [event for name in "abc" for event in turn(name, reason=StopReason.UNKNOWN, text="")]
    assert ending(*empty, limits=Limits(empty_turns=4)) is Ending.SILENT_EXIT
    assert ending(*empty, exit_code=1, limits=Limits(empty_turns=4)) is Ending.CLI_CRASHED
    assert ending(*empty[:3], limits=Limits(empty_turns=1)) is Ending.EMPTY_STEPS
    compactions = [*turn(), ev.Compaction(), ev.Compaction()]
    assert ending(*compactions, limits=Limits(compactions=2)) is Ending.ENDLESS_COMPACTION
    assert ending(*compactions, ev.Compaction(), limits=Limits(compactions=4)) is Ending.SILENT_EXIT
