"""`proctor export --otel` and `--otlp`: OpenTelemetry spans. `make exports` reads them with their own classes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backends.registry import own_names
from harness.commands.main import main
from harness.exports.cases import exported_cases
from harness.exports.otlp import HEADERS, OtlpError, send_spans, traces_url
from harness.results.runs import read_run
from tests.support.collector import Collector, collector
from tests.support.transcripts import transcript_run

Span = dict[str, Any]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return transcript_run(tmp_path_factory.mktemp("runs") / "20261126T110221.244Z-nightly")


@pytest.fixture(scope="module")
def spans(run: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Span]:
    file = tmp_path_factory.mktemp("out") / "spans.jsonl"
    assert main(["export", str(run), "--otel", str(file)]) == 0
    return spans_of(file.read_bytes().splitlines())


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    monkeypatch.delenv(HEADERS, raising=False)
    with collector() as one:
        yield one


def spans_of(requests: list[bytes]) -> list[Span]:
    """Return the spans of requests, each with its attributes as a dictionary, and its case."""
    found = []
    for request in requests:
        for resource in json.loads(request)["resourceSpans"]:
            for scope in resource["scopeSpans"]:
                found += [span | {"attributes": attributes(span)} for span in scope["spans"]]
    return found


def attributes(span: Span) -> dict[str, Any]:
    return {one["key"]: next(iter(one["value"].values())) for one in span["attributes"]}


def of_case(spans: list[Span], case: str) -> list[Span]:
    [trace] = {span["traceId"] for span in spans if span["name"] == f"case {case}"}
    return [span for span in spans if span["traceId"] == trace]


class TestSpans:
    """The spans of a run."""

    def test_each_case_is_a_trace_with_one_root(self, spans: list[Span]) -> None:
        roots = [span for span in spans if "parentSpanId" not in span]
        assert len(roots) == len({span["traceId"] for span in spans}) == len(own_names()) * 2 + 7
        assert len({span["spanId"] for span in spans}) == len(spans)
        assert all(len(span["traceId"]) == 32 and len(span["spanId"]) == 16 for span in spans)

    def test_each_span_lies_within_its_parent(self, spans: list[Span]) -> None:
        by_id = {span["spanId"]: span for span in spans}
        for span in spans:
            assert int(span["startTimeUnixNano"]) <= int(span["endTimeUnixNano"])
            if parent := by_id.get(span.get("parentSpanId", "")):
                assert parent["traceId"] == span["traceId"]
                assert int(parent["startTimeUnixNano"]) <= int(span["startTimeUnixNano"])
                assert int(span["endTimeUnixNano"]) <= int(parent["endTimeUnixNano"])

    @pytest.mark.parametrize("backend", own_names())
    def test_each_backend_has_the_same_spans(self, spans: list[Span], backend: str) -> None:
        case, agent, *rest = of_case(spans, f"{backend}-qwen-maze-r1")
        assert agent["name"] == f"invoke_agent {backend}"
        assert agent["parentSpanId"] == case["spanId"]
        operations = [span["attributes"]["gen_ai.operation.name"] for span in rest]
        assert operations == ["chat", "execute_tool", "chat", "execute_tool", "chat"]
        first, wrote = rest[0], rest[1]
        assert (first["name"], first["kind"]) == ("chat qwen", 3)
        told = first["attributes"]
        assert (told["gen_ai.usage.input_tokens"], told["gen_ai.usage.cache_read.input_tokens"]) == ("320", "20")
        assert told["gen_ai.usage.output_tokens"] == "30"
        assert int(first["endTimeUnixNano"]) - int(first["startTimeUnixNano"]) == 250_000_000
        assert "x = 1" in wrote["attributes"]["gen_ai.tool.call.arguments"]
        assert int(wrote["startTimeUnixNano"]) == int(first["endTimeUnixNano"])
        assert "42" in rest[3]["attributes"]["gen_ai.tool.call.result"]
        [grade] = case["events"]
        assert attributes(grade)["gen_ai.evaluation.score.value"] == 1.0

    def test_a_subagent_lies_below_the_call_that_started_it(self, spans: list[Span]) -> None:
        found = of_case(spans, "claude-qwen-subagents-r1")
        names = {span["spanId"]: span["name"] for span in found}
        inside = [span for span in found if span["name"] == "invoke_agent subagent"]
        assert [names[span["parentSpanId"]] for span in inside] == ["execute_tool Agent"] * 2
        commands = [names[span["parentSpanId"]] for span in found if span["name"] == "execute_tool Bash"]
        assert sorted(commands) == ["invoke_agent claude", *["invoke_agent subagent"] * 3]

    def test_what_went_wrong_is_an_error(self, spans: list[Span]) -> None:
        [root] = of_case(spans, "claude-qwen-mute-r1")
        assert root["status"] == {"code": 2, "message": "the model is gone"}
        assert root["attributes"]["error.type"] == "model_error"
        first, last = [
            span for span in of_case(spans, "claude-qwen-retried-r1") if span["name"] == "invoke_agent claude"
        ]
        assert (first["status"]["code"], "status" in last) == (2, False)
        assert int(last["startTimeUnixNano"]) - int(first["endTimeUnixNano"]) == 2_000_000_000
        assert "status" not in of_case(spans, "claude-qwen-limited-r1")[0]
        tools = [span for span in of_case(spans, "claude-qwen-hostile-r1") if "execute_tool" in span["name"]]
        assert [span["attributes"].get("error.type") for span in tools] == ["tool_error", None]

    def test_a_time_that_nothing_tells_is_marked(self, spans: list[Span]) -> None:
        chats = {
            name: [span["attributes"].get("proctor.time_unknown") for span in of_case(spans, f"claude-qwen-{name}-r1")
                   if span["name"] == "chat qwen"]
            for name in ("limited", "maze")
        }  # fmt: skip
        assert set(chats["limited"]) == {True}
        assert set(chats["maze"]) == {None}

    def test_the_same_run_has_the_same_ids(self, run: Path, spans: list[Span], tmp_path: Path) -> None:
        assert main(["export", str(run), "codex-qwen-maze-r1", "--otel", str(tmp_path / "again")]) == 0
        again = spans_of((tmp_path / "again").read_bytes().splitlines())
        assert again == of_case(spans, "codex-qwen-maze-r1")


class TestSending:
    """`--otlp URL`."""

    def test_the_service_gets_what_the_file_has(
        self, run: Path, spans: list[Span], service: Collector, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(HEADERS, "x-key=a%20b, other=1")
        assert main(["export", str(run), "--otlp", service.address]) == 0
        assert spans_of([one.body for one in service.requests]) == spans
        assert {one.path for one in service.requests} == {"/v1/traces"}
        [headers] = {
            (one.headers["content-type"], one.headers["x-key"], one.headers["other"]) for one in service.requests
        }
        assert headers == ("application/json", "a b", "1")

    def test_many_spans_are_sent_in_several_requests(
        self, run: Path, spans: list[Span], service: Collector, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("harness.exports.otlp._MOST_BYTES", 2000)
        assert main(["export", str(run), "codex-qwen-maze-r1", "--otlp", service.address]) == 0
        assert len(service.requests) > 2
        assert spans_of([one.body for one in service.requests]) == of_case(spans, "codex-qwen-maze-r1")

    def test_a_busy_service_is_asked_again(self, run: Path, service: Collector) -> None:
        waits: list[float] = []
        service.answers = [(503, {}, b""), (429, {"retry-after": "7"}, b"")]
        send_spans(list(exported_cases(*read_run(run)))[:1], service.address, waits.append)
        assert waits == [1.0, 7.0]
        assert len(service.requests) == 3

    @pytest.mark.parametrize(
        ("status", "body", "told"),
        [
            (401, b"who are you", "the service answered 401: who are you"),
            (307, b"", "the service answered 307"),
            (200, b'{"partialSuccess":{"rejectedSpans":"2","errorMessage":"too old"}}', "refused spans: 2: too old"),
        ],
    )
    def test_a_refusal_is_told(
        self, run: Path, service: Collector, status: int, body: bytes, told: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        service.answers = [(status, {"location": "http://127.0.0.1:1/"}, body)]
        with pytest.raises(SystemExit, match="2"):
            main(["export", str(run), "codex-qwen-maze-r1", "--otlp", service.address])
        assert told in capsys.readouterr().err
        assert len(service.requests) == 1

    def test_a_service_that_does_not_answer_is_named(self, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
        with collector() as gone:
            pass
        with pytest.raises(SystemExit, match="2"):
            main(["export", str(run), "codex-qwen-maze-r1", "--otlp", gone.address])
        assert f"{gone.address}/v1/traces: " in capsys.readouterr().err

    def test_a_wrong_header_is_told_without_its_value(
        self, run: Path, service: Collector, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(HEADERS, "geheim")
        with pytest.raises(OtlpError, match=f"{HEADERS}: write name=value") as error:
            send_spans([], service.address)
        assert "geheim" not in str(error.value)


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("http://localhost:4318", "http://localhost:4318/v1/traces"),
        ("http://localhost:4318/", "http://localhost:4318/v1/traces"),
        ("https://example.invalid/otel", "https://example.invalid/otel/v1/traces"),
        ("https://example.invalid/v1/traces", "https://example.invalid/v1/traces"),
        ("http://[::1]:4318?a=b#c", "http://[::1]:4318/v1/traces?a=b"),
    ],
)
def test_the_address_gets_the_path_of_traces(given: str, used: str) -> None:
    assert traces_url(given) == used


@pytest.mark.parametrize("given", ["localhost:4318", "ftp://x", "http://", "http://x:99999", "http://[x", ""])
def test_what_is_no_address_is_told(given: str) -> None:
    with pytest.raises(OtlpError, match="not an address of HTTP, such as http://localhost:4318"):
        traces_url(given)


def test_an_address_with_a_password_is_refused_without_showing_it() -> None:
    with pytest.raises(OtlpError, match=f"put what it needs into {HEADERS}") as error:
        traces_url("https://me:geheim@example.invalid")
    assert "geheim" not in str(error.value)
