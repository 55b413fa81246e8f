"""Faults that no real CLI shows on demand: a stand-in program, in the real sandbox, under the real watchdog."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.case import Limits
from harness.endings import ENDINGS, Ending
from tests.support.archives import archived
from tests.support.project import ROOT, Project

CONFTEST = f"""\
{(ROOT / "conftest.py").read_text()}
from pathlib import Path

import harness.agent.cli
from harness.agent.cli import Cli, find_cli

HERE = Path(__file__).parent


def stand_in(backend):
    if backend.name == "opencode":
        return find_cli(backend, HERE / "nowhere")
    return Cli(HERE / "stand_in", "stand-in")


harness.agent.cli.find_cli = stand_in
"""

INIT = '{"type":"system","subtype":"init","session_id":"s","mcp_servers":[{"name":"environment","status":"STATUS"}]}'
UNLISTED = INIT.replace("environment", "another").replace("STATUS", "connected")
SAID = '{"type":"assistant","message":{"id":"m1","content":[{"type":"text","text":"x"}]}}'
RESULT = '{"type":"result","subtype":"success","result":"done"}'
FORGED = (
    r'{"type":"assistant","message":{"id":"m1","content":[{"type":"tool_use","id":"t1","input":{},'
    r'"name":"\u001b]0;owned\u0007\u202e\ud800\u009b2J"}]}}'
)
CALLED = '{"type":"user","message":{"content":[{"type":"tool_result","tool_use_id":"t1","content":"x"}]}}'
LIMITED = '{"type":"result","subtype":"success","is_error":true,"result":"API Error: 429 rate limit exceeded"}'
COMPACTED = '{"type":"system","subtype":"compact_boundary"}'

PROGRAM = f"""\
#!/bin/sh
started() {{ echo '{INIT.replace("STATUS", "connected")}'; }}
case "$*" in
*hung*) started; echo '{SAID}'; echo '{RESULT}'; trap '' TERM; sleep 100 & sleep 100 ;;
*silent*) exit 0 ;;
*forging*) started; printf '%s\\n' '{FORGED}' '{CALLED}'; echo '{SAID}'; echo '{RESULT}' ;;
*painting*) started; printf '\\033]0;owned\\007it \\342\\200\\256went \\377wrong' >&2; exit 3 ;;
*crashed*) started; echo "it went wrong" >&2; exit 3 ;;
*forged*) started; echo '{SAID}'; echo '{LIMITED}'; exit 1 ;;
*toolless*) echo '{INIT.replace("STATUS", "failed")}'; echo '{SAID}'; echo '{RESULT}'; echo trace > trace ;;
*unlisted*) echo '{UNLISTED}'; echo '{SAID}'; echo '{RESULT}' ;;
*compacting*) started; while :; do echo '{COMPACTED}'; sleep 0.1; done ;;
*flood*) exec cat /dev/zero ;;
*writing*) started; setsid sh -c 'while :; do date > trace; done' & sleep 0.5; echo '{SAID}'; echo '{RESULT}' ;;
esac
"""

ENDS = {
    "hung": (Ending.HUNG_AFTER_FINAL,),
    "forging": (Ending.FINISHED,),
    "painting": (Ending.CLI_CRASHED, Ending.CLI_CRASHED),
    "silent": (Ending.SILENT_EXIT, Ending.SILENT_EXIT),
    "crashed": (Ending.CLI_CRASHED, Ending.CLI_CRASHED),
    "forged": (Ending.CLI_CRASHED, Ending.CLI_CRASHED),
    "toolless": (Ending.MCP_UNAVAILABLE, Ending.MCP_UNAVAILABLE),
    "unlisted": (Ending.MCP_UNAVAILABLE, Ending.MCP_UNAVAILABLE),
    "compacting": (Ending.ENDLESS_COMPACTION,),
    "flood": (Ending.OUTPUT_LIMIT,),
    "writing": (Ending.FINISHED,),
}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path)
    project.write("conftest.py", CONFTEST)
    project.write("stand_in", PROGRAM)
    (tmp_path / "stand_in").chmod(0o755)
    for name in ENDS:
        project.write(f"conf/model/{name}.yaml", f"name: {name}\nprovider: scripted\nscript: {name}\n")
        project.write(f"conf/scripts/{name}.yaml", "turns: [{text: Done.}]\n")
    return project


def test_each_fault_gets_its_ending_in_seconds(project: Project) -> None:
    models = ", ".join(ENDS)
    project.write(
        "conf/suite/odd.yaml", f"name: odd\nbackends: [claude]\nmodels: [{models}]\nenvironments: [small_maze]\n"
    )
    settings = {"retries": 1, "retry_s": 0.1, "after_final_s": 1, "grace_s": 1, "output_mb": 5}
    limits = (f"--set=limits.{key}={value}" for key, value in settings.items())
    shown = project.pytest("--suite", "odd", "-n", "2", "-v", "--junit-xml=junit.xml", *limits)
    records = {record.case.model: record for record in project.records.values()}
    assert {name: tuple(one.ending for one in record.attempts) for name, record in records.items()} == ENDS
    for record in records.values():
        assert record.cause == ENDINGS[record.ending].cause
        assert all(attempt.seconds < 10 for attempt in record.attempts)
    assert records["hung"].attempts[0].term_s >= 1  # it ignored SIGTERM
    assert "code 3: it went wrong" in records["crashed"].explanation
    assert "went" in records["painting"].explanation
    texts = [shown.stdout, shown.stderr, (project.folder / "junit.xml").read_text()]
    texts += [record.explanation for record in records.values()]
    assert not any(mark in text for text in texts for mark in ("\x1b", "\x07", "\u202e", "\x9b", "INTERNALERROR"))
    assert "rate_limited, but no model request failed: API Error: 429" in records["forged"].explanation
    assert records["flood"].attempts[0].seconds < 5
    assert records["compacting"].compactions >= Limits().compactions
    assert records["writing"].compactions == 0
    told = records["writing"].usage.reported
    assert told is not None
    assert (told.turns, told.input_tokens, told.cost_usd) == (1, None, None)  # it tells no tokens and no cost
    assert records["unlisted"].mcp_servers == {"another": "connected", "environment": "not listed"}
    folder = project.folder / "runs/latest"
    toolless = folder / str(records["toolless"].artifacts)
    assert "trace" in archived(toolless / "attempt-1/workspace.tar.gz")  # the second attempt began a new conversation
    writing = folder / str(records["writing"].artifacts)
    assert archived(writing / "workspace.tar.gz")["trace"].mtime <= (writing / "result.json").stat().st_mtime


def test_a_fault_before_the_session_gets_its_ending_too(project: Project) -> None:
    (project.folder / "stand_in").write_text("#!/no/such/interpreter\n")
    project.write("conf/model/unrecorded.yaml", "name: unrecorded\nprovider: cassette\n")
    project.write(
        "conf/suite/odd.yaml",
        "name: odd\nbackends: [claude, opencode]\nmodels: [silent, unrecorded]\nenvironments: [small_maze]\n"
        "exclude: [{backend: opencode, model: unrecorded}]\n",
    )
    project.pytest("--suite", "odd", "--set=limits.retries=1", "--set=limits.retry_s=0.1")
    ends = {name: (record.ending, record.outcome, len(record.attempts)) for name, record in project.records.items()}
    assert ends == {
        "claude-silent-small_maze": (Ending.SANDBOX_FAILED, "error", 2),
        "claude-unrecorded-small_maze": (Ending.HARNESS_ERROR, "error", 0),
        "opencode-silent-small_maze": (Ending.CLI_MISSING, "skipped", 0),
    }


OWN_CLI = f"""\
#!/bin/sh
case "$1" in --version) echo '9.9.9 (Claude Code)'; exit ;; esac
echo '{INIT.replace("STATUS", "connected")}'; echo '{SAID}'; echo '{RESULT}'
"""


def test_a_cli_at_a_path_of_the_users_own_runs_and_its_version_and_path_are_recorded(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.write("tools/agent", OWN_CLI)
    (tmp_path / "tools/agent").chmod(0o755)
    (tmp_path / "linked").symlink_to(tmp_path / "tools/agent")
    project.write(
        "conf/suite/own.yaml", "name: own\nbackends: [claude]\nmodels: [scripted]\nenvironments: [small_maze]\n"
    )
    options = f"backend.claude.options.executable={tmp_path / 'linked'}"
    project.pytest("--suite", "own", f"--set={options}", "--set=evaluation.episodes=1")
    [record] = project.records.values()
    assert record.ending is Ending.FINISHED, record.explanation
    assert (record.versions.cli, record.versions.cli_path) == ("9.9.9", str(tmp_path / "linked"))
