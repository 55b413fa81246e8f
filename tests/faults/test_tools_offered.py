"""Real sessions whose environments offer all tools, one, or none, or cannot be drawn."""

from __future__ import annotations

import pytest

from harness.endings import Ending
from harness.environment_conf import TOOLS, ToolName
from harness.mcp.app import digest
from harness.results.record import Record
from tests.support.own_project import ENVIRONMENT
from tests.support.project import QUICK, Project

MAZE = "kind: maze\narguments: {min_size: 3, max_size: 5}\n"
ENVIRONMENTS = {
    "all": MAZE,
    "one": f"{MAZE}tools: [render_state]\n",
    "none": f"{MAZE}tools: []\n",
    "undrawn": "kind: blind:Blind\n",
    "needed": "kind: blind:Blind\nneeds_mcp: true\n",
}
BLIND = f"""\
{ENVIRONMENT}

class Blind(Door):
    def render(self):
        raise NotImplementedError("nobody wrote a renderer")
"""


@pytest.fixture(scope="module", params=["claude", pytest.param("opencode", marks=pytest.mark.nightly)])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A run with a case for each of the environments, in which the agent does nothing."""
    project = Project(tmp_path_factory.mktemp(request.param))
    project.write("blind.py", BLIND)
    project.write("conf/model/idle.yaml", "name: idle\nprovider: scripted\nscript: idle\n")
    project.write("conf/scripts/idle.yaml", QUICK)
    for name, text in ENVIRONMENTS.items():
        project.write(f"conf/environment/{name}.yaml", f"name: {name}\n{text}")
    cases = f"backends: [{request.param}]\nmodels: [idle]\nenvironments: [{', '.join(ENVIRONMENTS)}]\n"
    project.write("conf/suite/tools.yaml", f"name: tools\n{cases}")
    project.pytest("--suite", "tools", "-n", "2", "--set=evaluation.episodes=1")
    return project


def record(run: Project, environment: str) -> Record:
    return next(record for record in run.records.values() if record.case.environment == environment)


def prompt(run: Project, environment: str) -> str:
    return (run.folder / "runs/latest" / str(record(run, environment).artifacts) / "prompt.md").read_text()


@pytest.mark.parametrize(
    ("environment", "tools"),
    [("all", ["render_state", "render_policy"]), ("one", ["render_state"]), ("none", []), ("undrawn", [])],
)
def test_the_agent_is_told_and_offered_only_the_tools_that_are_chosen_and_work(
    run: Project, environment: str, tools: list[ToolName]
) -> None:
    done, told = record(run, environment), prompt(run, environment)
    assert done.ending is Ending.FINISHED, done.explanation
    assert [tool for tool in TOOLS if f"_{tool}` " in told] == tools
    assert done.digests.tools == (digest(tools) if tools else None)
    assert ("environment" in told.partition("# Rules")[2]) == bool(tools), "the hint names the MCP server"


def test_a_record_warns_that_its_environment_could_not_be_drawn(run: Project) -> None:
    assert record(run, "undrawn").warnings == [
        "render_state and render_policy not offered, because environment undrawn cannot be drawn: "
        "nobody wrote a renderer"
    ]
    assert record(run, "all").warnings == record(run, "none").warnings == []


def test_a_case_that_needs_tools_that_cannot_draw_is_skipped(run: Project) -> None:
    skipped = record(run, "needed")
    assert (skipped.ending, skipped.outcome) == (Ending.UNAVAILABLE, "skipped")
    assert "environment needed cannot be drawn" in skipped.explanation
