"""Real endings: a real CLI in the sandbox meets each limit and each failure of its model."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import pytest
from msgspec import Struct

from backends.registry import backend, names
from harness.endings import ENDINGS, Ending
from harness.environment_conf import TOOLS
from harness.mcp.app import digest
from harness.results.record import Record
from tests.support.archives import content
from tests.support.project import Project

LIMITS = {
    "evaluation.episodes": 1,
    "limits.tokens": 1_000_000,
    "limits.cost_usd": 1,
    "limits.output_mb": 1,
    "limits.memory_mb": 2500,
    "limits.processes": 60,
    "limits.disk_mb": 300,
    "limits.idle_s": 60,
    "limits.failed_requests": 2,
    "limits.stalled_s": 2,
    "limits.retries": 1,
    "limits.retry_s": 0.5,
}


class Fault(Struct, frozen=True):
    """A script, the endings of the attempts at its case, what the last one says, and more of the model's configuration.

    `resumed`: whether later attempts resume the conversation of the first one. Otherwise they begin a new one.
    """

    turns: str
    attempts: tuple[Ending, ...]
    explanation: str
    model: str = "price: unknown\n"
    resumed: bool = True


def runs(command: str) -> str:
    return f"- calls: [{{run: {json.dumps(command)}}}]"


def failing(fail: str) -> str:
    return f"{runs('echo a')}\n  - text: A few words, sent in several pieces.\n    fail: {fail}"


LIMIT_FAULTS = {
    "tokens": Fault(
        "- calls: [{run: echo a}]\n    usage: {input_tokens: 1000001, output_tokens: 1}",
        (Ending.TOKEN_LIMIT,),
        "1000000 tokens",
    ),
    "refused": Fault(
        "- calls: [{run: echo a}]\n    usage: {input_tokens: 999999, output_tokens: 1}",
        (Ending.TOKEN_LIMIT,),
        "1000000 tokens",
    ),
    "cost": Fault(
        "- calls: [{run: echo a}]\n    usage: {input_tokens: 500000, output_tokens: 1}",
        (Ending.COST_LIMIT,),
        "1.0 US dollars",
        "price: {input: 3, output: 1}\n",
    ),
    "output": Fault(
        f"- text: {'x' * 2_000_000}\n    calls: [{{run: echo a}}]\n    usage: {{input_tokens: 9, output_tokens: 9}}",
        (Ending.OUTPUT_LIMIT,),
        "MB of output; 1 are",
    ),
    "memory": Fault(
        runs("for i in 1 2; do python -c 'b = bytearray(15 * 10**8); import time; time.sleep(100)' & done; wait"),
        (Ending.MEMORY_LIMIT,),
        "are allowed",
    ),
    "processes": Fault(
        runs("for i in $(seq 80); do sleep 100 & done; sleep 100"), (Ending.PROCESS_LIMIT,), "processes; 60 are allowed"
    ),
    "disk": Fault(runs("head -c 400000000 /dev/zero > big; sleep 100"), (Ending.DISK_LIMIT,), "MB on disk; 300 are"),
}

SLOW_FAULTS = {
    "idle": Fault(runs("tail -f /dev/null"), (Ending.IDLE_LIMIT,), "no sign of life for 15 seconds"),
}

MODEL_FAULTS = {
    "auth": Fault(failing("{status: 401}"), (Ending.AUTH_FAILED,), "401"),
    "no_tools": Fault(
        failing("{status: 400, message: this model does not support tools}"),
        (Ending.MODEL_REFUSED_TOOLS,),
        "does not support tools",
    ),
    "overflow": Fault(failing("{status: 400, message: prompt is too long}"), (Ending.CONTEXT_OVERFLOW,), "too long"),
    "far_reset": Fault(failing("{status: 429, retry_after: 99999}"), (Ending.RATE_LIMITED,), "it ends at 2"),
    "near_reset": Fault(
        failing("{status: 429, retry_after: 1, times: 2}"), (Ending.RATE_LIMITED, Ending.FINISHED), "ended its session"
    ),
    "outage": Fault(failing("{status: 500}"), (Ending.MODEL_ERROR, Ending.MODEL_ERROR), "500"),
    "unreachable": Fault(
        failing("{status: 502, times: 2}"), (Ending.MODEL_UNREACHABLE, Ending.FINISHED), "ended its session"
    ),
    "stalled": Fault(failing("{hang_after: 3, times: 1}"), (Ending.STALLED, Ending.FINISHED), "ended its session"),
    "spent": Fault(
        "- calls: [{run: echo a}]\n    usage: {input_tokens: 300000, output_tokens: 1}\n"
        "  - {text: A few words, calls: [{run: echo b}], fail: {hang_after: 3, times: 1}}\n"
        "  - calls: [{run: echo c}]\n    usage: {input_tokens: 800000, output_tokens: 1}",
        (Ending.STALLED, Ending.TOKEN_LIMIT),
        "of 1000000 tokens",
    ),
}

OPENCODE_FAULTS = {
    "page": Fault(
        failing("{html: true}"), (Ending.MODEL_UNREACHABLE, Ending.MODEL_UNREACHABLE), "no answer of a model"
    ),
    "truncated": Fault(
        f"{runs('echo a')}\n  - {{text: Once upon a time, truncated: true}}",
        (Ending.OUTPUT_TOKEN_LIMIT,),
        "the last response was cut by its output limit",
    ),
}
"""Other CLIs handle these faults differently: Claude Code asks for the rest of a cut answer."""


SIGNAL = 'python -c "import os, signal; os.kill($PPID, signal.{})"'
"""A command that sends a signal to the CLI that runs it. Copilot refuses a `kill` of `$PPID`."""

KILLED = SIGNAL.format("SIGKILL")
STOPPED = f"{SIGNAL.format('SIGSTOP')}; while grep -L '^State:.[TtZ]' /proc/$PPID/task/*/status | grep -q .; do :; done"
"""A command that stops the CLI that runs it. When it returns, no thread of the CLI writes any more."""


def killed(name: str) -> dict[str, Fault]:
    """Return two faults that kill the CLI in its first call: before and after it has written its conversation."""
    files = " ".join(f"$HOME/{pattern}" for pattern in backend(name).conversation_files("ID")).replace("ID", "*")
    unwritten = f"{STOPPED}; for file in {files}; do rm $file*; done"  # Codex refuses to run `rm -f`
    written = f"until ls {files}; do :; done"
    ends = (Ending.CLI_CRASHED, Ending.FINISHED)
    return {
        "unwritten": Fault(runs(_once(f"{unwritten}; {KILLED}")), ends, "ended its session", resumed=False),
        "written": Fault(runs(_once(f"{written}; {KILLED}")), ends, "ended its session"),
    }


def _once(command: str) -> str:
    return f"test -e trace || {{ touch trace; {command}; }}"


def play(folder: Path, backend: str, faults: dict[str, Fault], **settings: object) -> dict[str, Record]:
    """Run each fault as a separate case, two at a time. Return the records by the fault's name."""
    project = Project(folder)
    for name, fault in faults.items():
        project.write(f"conf/model/{name}.yaml", f"name: {name}\nprovider: scripted\nscript: {name}\n{fault.model}")
        project.write(f"conf/scripts/{name}.yaml", f"turns:\n  {fault.turns}\n  - text: Done.\n")
    models = ", ".join(faults)
    project.write(
        "conf/suite/faults.yaml",
        f"name: faults\nbackends: [{backend}]\nmodels: [{models}]\nenvironments: [small_maze]\n",
    )
    options = [f"--set={key}={value}" for key, value in (LIMITS | settings).items()]
    project.pytest("--suite", "faults", "-n", "2", *options)
    return {record.case.model: record for record in project.records.values()}


def check(records: dict[str, Record], faults: dict[str, Fault]) -> None:
    assert set(records) == set(faults)
    for name, fault in faults.items():
        record = records[name]
        last = record.attempts[-1]
        assert [attempt.ending for attempt in record.attempts] == list(fault.attempts), (name, record.explanation)
        assert fault.explanation in last.explanation, name
        policy = ENDINGS[last.ending]
        assert (record.ending, record.cause) == (last.ending, policy.cause)
        assert (record.score is not None) == policy.graded
        assert record.outcome == ("failed" if policy.graded else policy.outcome)
        assert all(attempt.resumed is fault.resumed for attempt in record.attempts[1:]), name
        assert [one for one in record.differences if one.explained is None] == [], name
        assert all(attempt.settle_s > 0 and attempt.kill_s < 5 for attempt in record.attempts)


def test_each_limit_and_failure_gets_its_ending_with_claude(tmp_path: Path) -> None:
    faults = LIMIT_FAULTS | MODEL_FAULTS | killed("claude")
    records = play(tmp_path, "claude", faults)
    check(records, faults)
    metered = {name: record.usage.metered for name, record in records.items()}
    assert metered["cost"] is not None
    assert metered["cost"].cost_usd == pytest.approx(1.500001)
    assert metered["tokens"] is not None
    assert metered["tokens"].turns == 1
    assert metered["stalled"] is not None
    assert metered["stalled"].turns == sum(
        attempt.usage.metered.turns for attempt in records["stalled"].attempts if attempt.usage.metered
    )
    run = tmp_path / "runs/latest"
    kept = run / str(records["stalled"].artifacts) / "attempt-1"
    left = ["gateway.jsonl", "instructions.md", "prompt.md", "stderr.log", "stream.jsonl"]
    assert sorted(file.name for file in kept.iterdir()) == left
    assert b"A few words" not in (kept / "stream.jsonl").read_bytes()
    # the conversation continued where it had stopped: the second response of the script came next
    again = run / str(records["unreachable"].artifacts) / "stream.jsonl"
    assert b"A few words" in again.read_bytes()
    _keeps_what_it_was_asked(records, kept)


def _keeps_what_it_was_asked(records: dict[str, Record], first: Path) -> None:
    """Check the prompts of a case whose second attempt resumed the first one, whose files are in `first`."""
    prompt, instructions = ((first / name).read_bytes() for name in ("prompt.md", "instructions.md"))
    assert b"mcp__environment__render_state" in prompt
    assert b"Turns: 50." in prompt
    assert b"interrupted" in (first.parent / "prompt.md").read_bytes()
    assert content(first.parent / "workspace.tar.gz", "CLAUDE.md") == instructions
    asked = {(record.digests.prompt, record.digests.instructions) for record in records.values()}
    assert asked == {(sha256(prompt).hexdigest(), sha256(instructions).hexdigest())}, "all were asked the same"
    assert {record.digests.tools for record in records.values()} == {digest(TOOLS)}


@pytest.mark.nightly
@pytest.mark.parametrize("name", [name for name in names() if backend(name).capabilities.resume and name != "claude"])
def test_a_killed_cli_resumes_only_a_conversation_that_it_has_written(tmp_path: Path, name: str) -> None:
    check(play(tmp_path, name, killed(name)), killed(name))


@pytest.mark.nightly
def test_a_wall_limit_holds_while_the_session_is_busy(tmp_path: Path) -> None:
    busy = "\n  ".join([runs("sleep 1")] * 40)
    faults = {"busy": Fault(busy, (Ending.WALL_LIMIT,), "not finished after 6 seconds")}
    records = play(tmp_path, "claude", faults, **{"limits.wall_s": 6, "limits.first_byte_s": 5})
    check(records, faults)
    assert records["busy"].attempts[0].seconds < 6 + 3 + 2


@pytest.mark.nightly
def test_a_page_and_a_cut_answer_end_the_session_of_opencode(tmp_path: Path) -> None:
    check(play(tmp_path, "opencode", OPENCODE_FAULTS), OPENCODE_FAULTS)


@pytest.mark.nightly
def test_an_idle_session_ends(tmp_path: Path) -> None:
    check(play(tmp_path, "claude", SLOW_FAULTS, **{"limits.idle_s": 15}), SLOW_FAULTS)


@pytest.mark.nightly
@pytest.mark.parametrize("faults", [LIMIT_FAULTS, MODEL_FAULTS], ids=["limits", "model"])
def test_each_limit_and_failure_gets_its_ending_with_opencode(tmp_path: Path, faults: dict[str, Fault]) -> None:
    check(play(tmp_path, "opencode", faults), faults)
