"""What an agent is told: the packaged prompt, what it says of limits and tools, and the errors of a template."""

from __future__ import annotations

import msgspec
import pytest

from harness.agent.prompt import PromptFacts, TemplateFault, build_prompt, facts, render
from harness.case import Limits
from harness.environment_conf import EnvironmentConf
from harness.grading import EvaluationConf
from tests.support.cases import PROMPT

MAZE = EnvironmentConf("maze", "maze", max_steps=70, pass_solve_rate=0.7)
TOOLS = {"render_state": "env_render_state", "render_policy": "env_render_policy"}


def about(limits: Limits | None = None, **given: object) -> PromptFacts:
    evaluation = EvaluationConf(episodes=10, episode_wall_s=7.5)
    known = facts(MAZE, evaluation, limits or Limits(), description="\nLeave the maze.\n", tools=TOOLS)
    return msgspec.structs.replace(known, **given)


def prompt(limits: Limits | None = None, *, tell_limits: bool = True, **given: object) -> str:
    return build_prompt(msgspec.structs.replace(PROMPT, tell_limits=tell_limits), about(limits, **given))


def test_it_gives_the_task_then_the_interface_the_tools_the_limits_and_the_rules() -> None:
    told = prompt()
    marks = ["Leave the maze.", "class GeneratedApproach:", "env_render_policy", "# Limits", "# Rules"]
    assert sorted(marks, key=told.index) == marks
    assert "10 episodes" in told
    assert "70 steps and 7.5 seconds" in told
    assert "{" not in told
    assert "\n\n\n" not in told


def test_it_tells_the_limits_of_turns_time_and_tokens_and_what_passes() -> None:
    told = prompt(Limits(turns=12, tokens=90_000, wall_s=600.0))
    for part in ("Turns: 12.", "Tokens: 90000,", "Time: 600 seconds", "at least 7 of 10 episodes"):
        assert part in told


def test_a_limit_that_does_not_hold_is_not_told() -> None:
    told = prompt(Limits(turns=None, tokens=None))
    assert "Turns" not in told
    assert "Tokens" not in told


def test_it_tells_of_the_clock_for_an_action_and_of_learning_between_episodes_only_if_there_are_such() -> None:
    assert "for an action" not in prompt()
    assert "learn" not in prompt()
    assert "may take 0.5 seconds for an action" in prompt(step_wall_s=0.5)
    assert "it may learn from one to the next" in " ".join(prompt(carry_over=True).split())


def test_it_keeps_the_limits_to_itself_if_told_so() -> None:
    told = prompt(Limits(turns=12), tell_limits=False)
    assert "Limits" not in told
    assert "12" not in told
    assert "# Rules" in told


@pytest.mark.parametrize("only", TOOLS)
def test_it_names_only_the_tools_that_are_offered(only: str) -> None:
    told = prompt(tools={only: TOOLS[only]})
    assert [name for name in TOOLS.values() if name in told] == [TOOLS[only]]
    assert "# Tools" not in prompt(tools={})


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("Play.\n{{ epsiodes }} times.", "line 2 ({{ epsiodes }} times.): there is no variable epsiodes; choose from:"),
        ("{% if tools %}\n{{ nope }}\n{% endif %}", "line 2 ({{ nope }}): there is no variable nope"),
        ("a\n\n{{ limits.turnz }}", "line 3 ({{ limits.turnz }}): 'dict object' has no attribute 'turnz'"),
        ("a\n{% if tools %}\nb", "line 3 (b): Unexpected end of template"),
        ("{{ episodes | shout }}", "line 1 ({{ episodes | shout }}): No filter named 'shout'."),
        ("a\n{{ episodes / 0 }}", "line 2 ({{ episodes / 0 }}): division by zero"),
        ("{{ description.__class__ }}", "line 1 ({{ description.__class__ }}): access to attribute '__class__'"),
        ("{% include 'other' %}", "line 1 ({% include 'other' %}): no loader for this environment specified"),
    ],
)
def test_a_wrong_template_is_named_with_its_part_and_its_line(template: str, reason: str) -> None:
    with pytest.raises(TemplateFault) as caught:
        render(msgspec.structs.replace(PROMPT, rules=template), "rules", about())
    assert str(caught.value).startswith("conf/prompt/default.yaml: prompt.default.rules: ")
    assert reason in str(caught.value)


def test_what_an_environment_says_of_itself_is_no_template() -> None:
    assert "{{ nope }} {% if" in prompt(description="{{ nope }} {% if")
