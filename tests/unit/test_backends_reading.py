"""The events that each backend reads from single lines, and the session that they add up to."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import Raw

from backends import events as ev
from backends.reading.errors import error_kind, reset_hint
from backends.registry import backend, names
from backends.session import ERRORS_KEPT, Session, fold

K = ev.ErrorKind


def claude(**line: Any) -> tuple[ev.Event, ...]:
    return backend("claude").decode(json.dumps(line).encode())


def opencode(**line: Any) -> tuple[ev.Event, ...]:
    return backend("opencode").decode(json.dumps(line).encode())


def block(turn: str, content: dict[str, Any], **usage: int) -> tuple[ev.Event, ...]:
    message = {"id": turn, "model": "m", "content": [content], "usage": usage}
    return claude(type="assistant", session_id="s", parent_tool_use_id=None, message=message)


def result(**fields: Any) -> tuple[ev.Event, ...]:
    return claude(**{"type": "result", "subtype": "success", "is_error": False} | fields)


def tool_use(**part: Any) -> tuple[ev.Event, ...]:
    state = {"status": "completed", "input": {}, "output": "", "time": {"start": 1000, "end": 1250}}
    return opencode(
        type="tool_use",
        part={"messageID": "t", "callID": "c", "tool": "bash"} | part | {"state": state | part.get("state", {})},
    )


class TestClaude:
    def test_blocks_of_one_response_are_one_turn(self) -> None:
        session = fold(
            [
                *block("a", {"type": "text", "text": "hi"}, input_tokens=10, output_tokens=1),
                *block("a", {"type": "tool_use", "id": "c", "name": "Bash"}, input_tokens=10, output_tokens=1),
                *block("b", {"type": "text", "text": "bye"}, input_tokens=12, output_tokens=1),
            ]
        )
        assert (session.turns, session.tool_calls, session.last_tool) == (2, 1, "Bash")
        assert session.usage == ev.Usage(input_tokens=22, output_tokens=2)

    def test_a_message_that_the_cli_writes_itself_is_not_a_turn(self) -> None:
        text = [{"type": "text", "text": "API Error: 500"}]
        events = claude(type="assistant", error="server_error", message={"model": "<synthetic>", "content": text})
        assert events == (ev.Error(kind=K.MODEL_ERROR, message="API Error: 500"),)

    @pytest.mark.parametrize("text", ["5-hour limit reached ∙ resets 3pm", "Claude AI usage limit reached|1795356000"])
    def test_what_the_cli_writes_of_a_limit_decides_though_nothing_calls_it_an_error(self, text: str) -> None:
        content = [{"type": "text", "text": text}]
        session = fold([*claude(type="assistant", message={"model": "<synthetic>", "content": content}), *result()])
        assert session.failure is not None
        assert session.failure.kind is K.RATE_LIMIT
        assert session.resets_at is not None

    def test_any_other_note_of_the_cli_is_nothing(self) -> None:
        content = [{"type": "text", "text": "No response requested."}]
        assert claude(type="assistant", message={"model": "<synthetic>", "content": content}) == ()

    def test_running_totals_with_subagents_and_the_last_response_are_believed(self) -> None:
        usage = {"input_tokens": 5, "output_tokens": 5}
        both = {"a": {"inputTokens": 7, "outputTokens": 3}, "b": {"inputTokens": 1, "cacheReadInputTokens": 2}}
        (final,) = result(usage=usage, modelUsage=both, total_cost_usd=0.5)
        assert isinstance(final, ev.SessionFinished)
        assert final.usage == ev.Usage(input_tokens=8, output_tokens=3, cache_read_tokens=2)
        assert final.cost_usd == 0.5

    def test_several_results_are_totals_of_one_process(self) -> None:
        first = result(modelUsage={"m": {"inputTokens": 10}}, total_cost_usd=0.1)
        second = result(modelUsage={"m": {"inputTokens": 25}}, total_cost_usd=0.3)
        session = fold([*first, *second])
        assert (session.usage.input_tokens, session.cost_usd) == (25, 0.3)

    def test_a_turn_after_a_result_reopens_the_session(self) -> None:
        session = fold(result())
        assert session.finished
        session = fold([*result(), *block("a", {"type": "text", "text": "more"})])
        assert not session.finished

    @pytest.mark.parametrize("subtype", [*backend("claude").own_limits, "error_during_execution"])
    def test_its_own_limits_are_named(self, subtype: str) -> None:
        limit = backend("claude").own_limits.get(subtype, "")
        *errors, final = result(subtype=subtype, is_error=True, errors=["it stopped"])
        assert isinstance(final, ev.SessionFinished)
        assert (final.reason, final.limit) == (subtype, limit)
        assert bool(errors) is not bool(limit)

    @pytest.mark.parametrize(
        ("reason", "read"),
        [
            ("max_tokens", ev.StopReason.OUTPUT_LIMIT),
            ("model_context_window_exceeded", ev.StopReason.CONTEXT_LIMIT),
            ("end_turn", None),
            (None, None),
        ],
    )
    def test_a_response_that_was_cut_says_so(self, reason: str | None, read: ev.StopReason | None) -> None:
        session = fold(claude(type="assistant", message={"id": "a", "stop_reason": reason}))
        assert session.stop_reason is read

    @pytest.mark.parametrize("is_error", [True, False])
    @pytest.mark.parametrize("subtype", ["error_max_turns", "error_during_execution", "error_of_tomorrow"])
    def test_the_subtype_decides_before_the_flag(self, subtype: str, is_error: bool) -> None:
        final = fold(result(subtype=subtype, is_error=is_error)).final
        assert final is not None
        assert final.is_error

    def test_the_answer_of_the_model_says_nothing_about_an_error(self) -> None:
        failure = fold(result(subtype="error_during_execution", result="rate limit 429", errors=["boom"])).failure
        assert failure is not None
        assert (failure.kind, failure.message) == (K.OTHER, "boom")

    @pytest.mark.parametrize("is_error", [True, False])
    def test_a_refusal_is_told_by_the_stop_reason(self, is_error: bool) -> None:
        failure = fold(result(is_error=is_error, result="no", stop_reason="refusal")).failure
        assert failure is not None
        assert failure.kind is K.REFUSED

    def test_subagents_are_told_by_the_call_that_started_them(self) -> None:
        message = {"id": "x", "model": "m", "content": [{"type": "text", "text": "sub"}]}
        events = claude(type="assistant", parent_tool_use_id="call", message=message)
        assert ev.Text(turn="call/x", text="sub", parent="call") in events
        assert fold([*events, *events]).subagents == 1

    def test_a_tool_result_is_paired_with_its_call_cut_and_measured(self) -> None:
        content = [{"type": "text", "text": "x" * 9000}, {"type": "image"}]
        (read,) = claude(
            type="user",
            message={"content": [{"type": "tool_result", "tool_use_id": "c", "content": content, "is_error": True}]},
        )
        assert isinstance(read, ev.ToolResult)
        assert (read.call_id, read.output, read.is_error) == ("c", "x" * 9000 + "\n[image]", True)

    def test_retries_compactions_denials_and_limits_are_read(self) -> None:
        session = fold(
            [
                *claude(type="system", subtype="api_retry", attempt=1, max_retries=1, error_status=500),
                *claude(type="system", subtype="compact_boundary", compact_metadata={"trigger": "auto"}),
                *claude(type="rate_limit_event", rate_limit_info={"status": "allowed", "resetsAt": 1}),
                *claude(type="rate_limit_event", rate_limit_info={"status": "rejected", "resetsAt": 1700000000}),
                *result(permission_denials=[{"tool_name": "Bash", "tool_use_id": "c"}]),
                *result(permission_denials=[{"tool_name": "Bash", "tool_use_id": "c"}]),
            ]
        )
        assert (session.retries, session.compactions, session.denials) == (1, 1, 1)
        assert (session.rate_limits, session.resets_at) == (1, 1_700_000_000)

    def test_the_mcp_status_is_the_one_at_the_start(self) -> None:
        events = claude(type="system", subtype="init", mcp_servers=[{"name": "p", "status": "failed"}])
        assert fold(events).mcp_servers == {"p": "failed"}

    def test_a_server_whose_configuration_was_rejected_is_named_apart(self) -> None:
        rejected = [{"name": "q", "error": "config rejected"}, {"name": "r"}]
        servers = [{"name": "p", "status": "connected"}]
        events = claude(type="system", subtype="init", mcp_servers=servers, mcp_server_errors=rejected)
        assert fold(events).mcp_servers == {"p": "connected", "q": "config rejected", "r": "failed"}

    @pytest.mark.parametrize(("given", "listed"), [({}, None), ({"mcp_servers": []}, {}), ({"mcp_servers": 7}, None)])
    def test_it_may_list_no_server_or_not_list_them(self, given: dict[str, Any], listed: dict[str, str] | None) -> None:
        (started,) = claude(type="system", subtype="init", **given)
        assert isinstance(started, ev.SessionStarted)
        assert started.mcp_servers == listed

    @pytest.mark.parametrize("subtype", ["thinking_tokens", "task_started", "status", "hook_started"])
    def test_chatter_is_not_an_event(self, subtype: str) -> None:
        assert claude(type="system", subtype=subtype) == ()

    def test_a_new_kind_of_line_is_kept_as_unknown(self) -> None:
        (top,) = claude(type="surprise", x=1)
        (system,) = claude(type="system", subtype="surprise")
        assert isinstance(top, ev.Unknown)
        assert top.kind == "surprise"
        assert '"x": 1' in top.sample
        assert isinstance(system, ev.Unknown)
        assert system.kind == "system/surprise"


class TestOpenCode:
    def test_a_call_and_its_result_come_together(self) -> None:
        call, read = tool_use(state={"input": {"command": "ls"}, "output": "a\n"})
        assert call == ev.ToolCall(turn="t", call_id="c", name="bash", arguments={"command": "ls"})
        assert read == ev.ToolResult(call_id="c", content=Raw(b'"a\\n"'), seconds=0.25)
        assert read.output == "a\n"

    def test_a_repeated_part_counts_once(self) -> None:
        session = fold([*tool_use(), *tool_use()])
        assert (session.tool_calls, session.tool_results) == (1, 1)

    @pytest.mark.parametrize(
        "part",
        [
            {"state": {"status": "error", "error": "bad"}},
            {"state": {"metadata": {"exit": 3}}},
            {"tool": "invalid", "state": {"input": {"tool": "nonesuch"}}},
        ],
    )
    def test_a_failed_call_is_a_tool_error(self, part: dict[str, Any]) -> None:
        assert fold(tool_use(**part)).tool_errors == 1

    def test_a_call_of_an_unknown_tool_keeps_the_name_the_model_wrote(self) -> None:
        assert fold(tool_use(tool="invalid", state={"input": {"tool": "nonesuch"}})).last_tool == "nonesuch"

    def test_usage_counts_reasoning_as_output_and_cached_tokens_separately(self) -> None:
        tokens = {"input": 10, "output": 5, "reasoning": 2, "cache": {"read": 4, "write": 1}}
        session = fold(opencode(type="step_finish", part={"messageID": "t", "reason": "stop", "tokens": tokens}))
        assert session.turns == 1
        assert session.usage == ev.Usage(
            input_tokens=10, output_tokens=7, reasoning_tokens=2, cache_read_tokens=4, cache_write_tokens=1
        )

    def test_a_response_that_stops_after_calling_a_tool_is_not_the_last(self) -> None:
        start = opencode(type="step_start", sessionID="s", part={"messageID": "t"})
        stop = opencode(type="step_finish", part={"messageID": "t", "reason": "stop"})
        assert fold([*start, *stop]).finished
        assert not fold([*start, *tool_use(), *stop]).finished

    def test_a_response_that_a_content_filter_stopped(self) -> None:
        session = fold(opencode(type="step_finish", part={"messageID": "t", "reason": "content-filter"}))
        assert session.stop_reason is ev.StopReason.REFUSED

    def test_a_rate_limit_tells_when_to_come_back(self) -> None:
        data = {"message": "Too many requests", "statusCode": 429, "responseHeaders": {"retry-after": "20"}}
        session = fold(opencode(type="error", sessionID="s", error={"name": "APIError", "data": data}))
        assert (session.resets_at, session.session_id) == ("20 s", "s")

    def test_a_quota_with_a_time_to_come_back_is_a_rate_limit(self) -> None:
        data = {"message": "quota exceeded", "statusCode": 429, "responseHeaders": {"retry-after-ms": "900"}}
        session = fold(opencode(type="error", error={"name": "APIError", "data": data}))
        assert session.failure is not None
        assert (session.failure.kind, session.resets_at) == (K.RATE_LIMIT, "900 ms")

    def test_an_mcp_server_that_failed_is_named_by_the_log_alone(self) -> None:
        log = 'level=WARN run=1 message="server unavailable" key=proctor type=remote status=failed\nlevel=WARN x=1\n'
        assert backend("opencode").read_stderr(log) == (ev.McpStatus(server="proctor", status="failed"),)
        assert backend("claude").read_stderr(log) == ()

    @pytest.mark.parametrize(
        ("name", "data", "kind"),
        [
            ("ProviderAuthError", {}, K.AUTH),
            ("ContextOverflowError", {"message": "too long"}, K.CONTEXT_OVERFLOW),
            ("MessageOutputLengthError", {}, K.OUTPUT_TOKENS),
            ("APIError", {"statusCode": 529}, K.MODEL_ERROR),
            (
                "UnknownError",
                {"message": "Unable to connect. Is the computer able to access the url?"},
                K.MODEL_UNREACHABLE,
            ),
            ("UnknownError", {"message": "SSE read timed out"}, K.MODEL_ERROR),
        ],
    )
    def test_errors_are_named(self, name: str, data: dict[str, Any], kind: K) -> None:
        session = fold(opencode(type="error", error={"name": name, "data": data}))
        assert session.failure is not None
        assert session.failure.kind is kind


@pytest.mark.parametrize("name", names())
class TestAnyBackend:
    @pytest.mark.parametrize("line", [b"", b" \t", b"\r"])
    def test_a_blank_line_gives_no_event(self, name: str, line: bytes) -> None:
        assert backend(name).decode(line) == ()

    @pytest.mark.parametrize(
        ("line", "reason"),
        [
            (b"{", "no JSON"),
            (b"\xff\xfe", "no JSON"),
            (b"[1]", "no JSON object"),
            (b"null", "no JSON object"),
            (b"{}", "no type"),
            (b'{"type": 3}', "no type"),
            (b"[" * 100_000, "nested too deeply"),
        ],
    )
    def test_a_line_that_is_not_an_event_is_malformed(self, name: str, line: bytes, reason: str) -> None:
        (event,) = backend(name).decode(line)
        assert isinstance(event, ev.Malformed)
        assert event.reason == reason
        assert len(event.sample) <= 200

    def test_bad_utf_8_and_lone_surrogates_do_not_hide_the_rest(self, name: str) -> None:
        (event,) = backend(name).decode(b'{"type": "odd\xff\\ud800"}')
        assert isinstance(event, ev.Unknown)
        assert event.kind == "odd\N{REPLACEMENT CHARACTER}?"


class TestWrongTypes:
    def test_one_bad_field_hides_no_other(self) -> None:
        (final,) = result(
            session_id=7, num_turns="many", total_cost_usd=0.25, modelUsage={"a": 3, "b": {"inputTokens": 4}}
        )
        assert isinstance(final, ev.SessionFinished)
        assert (final.session_id, final.turns, final.cost_usd, final.usage.input_tokens) == ("", 0, 0.25, 4)

    @pytest.mark.parametrize("number", ["-5", "1e400", "NaN", "9" * 30, "9" * 5000, "1.5", "true", "null", '"3"'])
    def test_a_number_that_cannot_be_a_count_is_ignored(self, number: str) -> None:
        line = '{"type":"result","modelUsage":{"m":{"inputTokens":NUMBER}}}'.replace("NUMBER", number)
        session = fold(backend("claude").decode(line.encode()))
        assert session.usage == ev.Usage()

    def test_a_bad_block_hides_no_other(self) -> None:
        content = [7, {"type": "text", "text": ["x"]}, {"type": "tool_use", "id": "c", "name": "Read", "input": None}]
        session = fold(claude(type="assistant", message={"id": "a", "model": "m", "content": content}))
        assert (session.turns, session.tool_calls) == (1, 1)


class TestSession:
    def test_unpaired_results_are_counted_separately(self) -> None:
        session = fold([ev.ToolResult(call_id="nobody", is_error=True)])
        assert (session.tool_results, session.tool_errors, session.unpaired_results) == (0, 0, 1)

    def test_a_call_id_may_occur_again_in_another_turn(self) -> None:
        calls = [ev.ToolCall(turn=str(i), call_id="call_0", name="x") for i in range(3)]
        session = fold([event for call in calls for event in (call, ev.ToolResult(call_id="call_0"))])
        assert (session.tool_calls, session.tool_results, session.open_calls) == (3, 3, 0)

    def test_empty_turns_are_counted_in_a_row(self) -> None:
        session = Session()
        for turn in "abc":
            session.add(ev.TurnStarted(turn=turn))
            session.add(ev.TurnFinished(turn=turn, stop_reason=ev.StopReason.UNKNOWN))
        assert session.empty_turns == 3
        session.add(ev.TurnStarted(turn="d"))
        session.add(ev.Text(turn="d", text="at last"))
        session.add(ev.TurnFinished(turn="d", stop_reason=ev.StopReason.LAST))
        assert session.empty_turns == 0

    def test_a_response_after_an_error_means_it_was_overcome(self) -> None:
        error = ev.Error(kind=K.MODEL_ERROR, message="x")
        assert fold([error]).failure == error
        session = fold([error, ev.TurnFinished(turn="a")])
        assert session.failure is None
        assert session.errors == [ev.Located(error)]

    def test_a_session_keeps_little_of_a_long_stream(self) -> None:
        session = Session()
        for i in range(5000):
            session.add(ev.TurnStarted(turn=f"t{i}", parent=f"p{i}"))
            session.add(ev.ToolCall(turn=f"t{i}", call_id=f"c{i}", name="x"))
            session.add(ev.TurnFinished(turn=f"t{i}", usage=ev.Usage(input_tokens=1)))
            session.add(ev.Error(kind=K.OTHER, message=str(i)))
        assert (session.turns, session.tool_calls, session.usage.input_tokens, session.error_count) == (5000,) * 4
        assert len(session.errors) == ERRORS_KEPT
        first, last = session.errors[0].event, session.errors[-1].event
        assert (first, last) == (ev.Error(kind=K.OTHER, message="0"), ev.Error(kind=K.OTHER, message="4999"))
        assert session.open_calls <= 1024


@pytest.mark.parametrize(
    ("message", "status", "kind"),
    [
        ("prompt is too long: 210000 tokens > 200000 maximum", 400, K.CONTEXT_OVERFLOW),
        ("the request exceeds the available context size (exceed_context_size_error)", 400, K.CONTEXT_OVERFLOW),
        ("registry.ollama.ai/library/x does not support tools", 400, K.MODEL_REFUSED_TOOLS),
        ('"auto" tool choice requires --enable-auto-tool-choice', 400, K.MODEL_REFUSED_TOOLS),
        ("no", 401, K.AUTH),
        ("no", 403, K.AUTH),
        ("slow down", 429, K.RATE_LIMIT),
        ("no such model", 404, K.MODEL_ERROR),
        ("upstream", 502, K.MODEL_UNREACHABLE),
        ("connection refused by a backend of ours", 500, K.MODEL_ERROR),
        ("connect ECONNREFUSED 127.0.0.1:9", None, K.MODEL_UNREACHABLE),
        ("You've hit your limit · resets 3pm (Europe/Zurich)", None, K.RATE_LIMIT),
        ("Not logged in · Please run /login", None, K.AUTH),
        ("TypeError: undefined is not a function", None, K.CLI),
        ("boom", None, K.OTHER),
    ],
)
def test_an_error_is_named_by_its_text_and_status(message: str, status: int | None, kind: K) -> None:
    assert error_kind(message, status) is kind


@pytest.mark.parametrize(
    ("message", "hint"),
    [
        ("You've hit your limit · resets 3pm (Europe/Zurich)", "3pm (Europe/Zurich)"),
        ("Rate limit reached, try again in 20s", "20s"),
        ("retry after 20 s", "20 s"),
        ("limit resets at 2026-11-22T15:00:00Z", "2026-11-22T15:00:00Z"),
        ("boom", None),
    ],
)
def test_the_end_of_a_rate_limit_is_read_from_the_message(message: str, hint: str | None) -> None:
    assert reset_hint(message) == hint
