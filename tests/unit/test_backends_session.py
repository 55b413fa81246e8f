"""How a session adds up events: tools and their times, places in the stream, compactions."""

from __future__ import annotations

import json
from typing import Any

import pytest

from backends import events as ev
from backends.reading.experiment import is_experiment, shell_command
from backends.registry import backend
from backends.session import Session, fold
from harness.agent.stream import LINE_CAP, StreamReader


def call(name: str = "Bash", command: str = "ls", call_id: str = "c") -> ev.ToolCall:
    return ev.ToolCall(turn="t", call_id=call_id, name=name, arguments={"command": command})


def test_an_agent_is_in_a_command_while_its_last_response_waits_for_shell_commands_alone() -> None:
    session = fold([ev.TurnStarted(turn="t"), call()])
    assert session.in_a_command
    session.add(call("Task", command="", call_id="d"))
    assert not session.in_a_command, "a subagent may ask the model"
    session.add(ev.ToolResult(call_id="d"))
    assert session.in_a_command
    session.add(ev.TurnStarted(turn="later"))
    assert not session.in_a_command, "a call that never got a result is over"
    assert not fold([call(), ev.ToolResult(call_id="c")]).in_a_command


class TestToolTime:
    def test_is_the_time_that_the_cli_reports(self) -> None:
        session = Session()
        session.add(call(), at=100.0)
        session.add(ev.ToolResult(call_id="c", seconds=2.5), at=200.0)
        assert (session.tool_s, session.other_tools_s, session.experiment_s) == (2.5, 2.5, 0.0)

    def test_is_otherwise_the_time_between_the_lines(self) -> None:
        session = Session()
        session.add(call(command="python3 approach.py"), at=100.0)
        session.add(call(call_id="d"), at=101.0)
        session.add(ev.ToolResult(call_id="c"), at=103.0)
        session.add(ev.ToolResult(call_id="d"), at=105.0)
        assert (session.experiment_s, session.other_tools_s, session.tool_s) == (3.0, 4.0, 7.0)

    def test_is_unknown_if_nobody_measured_it(self) -> None:
        session = fold([call(), ev.ToolResult(call_id="c")])
        assert (session.experiment_s, session.other_tools_s, session.tool_s) == (None, None, None)

    def test_is_unknown_as_a_whole_if_one_part_is(self) -> None:
        known: list[ev.Event] = [call(call_id="d"), ev.ToolResult(call_id="d", seconds=1.0)]
        assert fold([*known, call(), ev.ToolResult(call_id="c")]).tool_s is None

    def test_is_zero_without_any_tool(self) -> None:
        assert fold([]).tool_s == 0.0

    def test_of_a_subagent_is_the_time_of_its_own_tools(self) -> None:
        session = Session()
        session.add(call("Task", call_id="task"), at=0.0)
        session.add(ev.TurnStarted(turn="sub", parent="task"), at=1.0)
        session.add(call(call_id="inner"), at=2.0)
        session.add(ev.ToolResult(call_id="inner"), at=5.0)
        session.add(ev.ToolResult(call_id="task"), at=60.0)
        assert (session.tool_s, session.subagents, session.tool_results) == (3.0, 1, 2)

    def test_is_read_from_opencode_and_leaves_its_subagents_out(self) -> None:
        def tool_use(call_id: str, tool: str, end: int, **metadata: Any) -> bytes:
            state = {"status": "completed", "metadata": metadata, "time": {"start": 1000, "end": end}}
            part = {"messageID": "t", "callID": call_id, "tool": tool, "state": state}
            return json.dumps({"type": "tool_use", "part": part}).encode()

        lines = [tool_use("c", "bash", 1250, exit=0), tool_use("d", "task", 9000, sessionId="ses_2")]
        session = fold(event for line in lines for event in backend("opencode").decode(line))
        assert (session.other_tools_s, session.subagents) == (0.25, 1)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("Bash", {"command": "python3 approach.py"}),
        ("Bash", {"command": "cd /w && timeout 60 /usr/bin/python3.11 -c 'print(1)'"}),
        ("bash", {"command": "cat > x <<'EOF'\nhello\nEOF\nPYTHONPATH=. python x"}),
        ("bash", {"command": "for i in 1 2; do python x.py; done"}),
        ("bash", {"command": 'echo "$(python -V)"'}),
        ("bash", {"command": "pytest -q | tail"}),
        ("bash", {"command": "./approach.py"}),
        ("bash", {"command": "bash -c 'python x'"}),
        ("exec_command", {"cmd": "uv run python x"}),
        ("shell", {"command": ["bash", "-lc", "python x"]}),
        ("mcp__proctor__render_state", {}),
        ("proctor_render_policy", None),
        ("mcp__proctor.render_state", "{"),
    ],
)
def test_running_python_or_rendering_is_an_experiment(name: str, arguments: Any) -> None:
    assert is_experiment(name, shell_command(arguments))


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("Bash", {"command": "ls /usr/lib/python3"}),
        ("Bash", {"command": "which python3; pip install pytest"}),
        ("Bash", {"command": "cat approach.py"}),
        ("Bash", {"command": "grep -r python ."}),
        ("Bash", {"command": 7}),
        ("Bash", {"command": ["ls", None]}),
        ("Write", {"file_path": "x.py", "content": "import numpy\npython"}),
        ("Read", None),
        ("render_statement", {}),
    ],
)
def test_any_other_call_is_not_an_experiment(name: str, arguments: Any) -> None:
    assert not is_experiment(name, shell_command(arguments))


class TestPlaces:
    def test_samples_and_errors_have_their_places_in_the_stream(self) -> None:
        reader = StreamReader(backend("opencode"))
        lines = [b'{"type":"step_start"}', b"oops", b'{"type":"new"}', b'{"type":"error","error":{"name":"boom"}}']
        reader.feed(b"\n".join(lines)[:30])
        reader.feed(b"\n".join(lines)[30:])
        reader.finish()
        session, offset = reader.session, [0, 22, 27, 42]
        assert session.malformed_sample == ev.Located(ev.Malformed(reason="no JSON", sample="oops"), offset[1], 4)
        assert session.unknown_sample is not None
        assert (session.unknown_sample.offset, session.unknown_sample.length) == (offset[2], 14)
        (error,) = session.errors
        assert (error.offset, error.length) == (offset[3], len(lines[3]))

    def test_a_line_that_is_too_long_even_without_its_texts_is_malformed(self) -> None:
        reader = StreamReader(backend("claude"))
        reader.feed(b'{"type":"result","result":[')
        for _ in range(LINE_CAP // (1 << 20)):
            reader.feed(b"1," * (1 << 19))
        reader.feed(b'1]}\n{"type":"result"}\n')
        sample = reader.session.malformed_sample
        assert sample is not None
        assert sample.length == LINE_CAP + 30
        assert isinstance(sample.event, ev.Malformed)
        assert sample.event.reason == f"longer than {LINE_CAP} bytes"
        assert reader.session.final is not None
        assert (reader.lines.truncated_lines, reader.lines.truncated_bytes) == (1, 30)


def test_a_tool_call_resets_the_count_of_compactions() -> None:
    session = fold([ev.Compaction(), call(), ev.Compaction(), ev.Compaction()])
    assert (session.compactions, session.compactions_in_a_row) == (3, 2)


def test_a_session_with_background_work_is_not_finished() -> None:
    """Claude Code ends its reply, waits for what runs in the background, and takes another turn then."""

    def changed(*tasks: dict[str, Any]) -> tuple[ev.Event, ...]:
        line = {"type": "system", "subtype": "background_tasks_changed", "tasks": tasks}
        return backend("claude").decode(json.dumps(line).encode())

    session = fold([*changed({"task_id": "a"}, {"task_id": "b", "ambient": True}), ev.SessionFinished()])
    assert (session.background_tasks, session.finished) == (1, False)
    session.add_line(changed({"task_id": "b", "ambient": True}))
    assert session.finished, "what is ambient does not hold a session open"
    assert session.unknown_events == 0
