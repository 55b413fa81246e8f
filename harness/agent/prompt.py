"""What an agent is told: the texts of `conf/prompt/NAME.yaml`, rendered for a case.

They are the same for every backend, except for the names that its CLI gives to the tools.
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

import msgspec
from jinja2 import StrictUndefined, Template, TemplateSyntaxError, nodes
from jinja2.meta import find_undeclared_variables
from jinja2.sandbox import ImmutableSandboxedEnvironment
from msgspec import Struct

from harness.case import Limits, PromptConf
from harness.endings import ConfError
from harness.environment_conf import EnvironmentConf
from harness.grading import EvaluationConf, least_solved
from harness.primitives.granting import PRIMITIVES, granted

PARTS: Final = ("task", "interface", "access", "tools", "limits", "rules")
"""The parts of the task's prompt, in their order."""

TEXTS: Final = (*PARTS, "instructions", "resume")

_NAME: Final = "<template>"
"""The name that Jinja gives to the file of a template in tracebacks."""


class TemplateFault(ConfError):
    """A template is wrong. `part` is its key in the prompt's file; `reason` says which line is wrong, and why."""

    def __init__(self, prompt: str, part: str, reason: str) -> None:
        super().__init__(f"conf/prompt/{prompt}.yaml: prompt.{prompt}.{part}: {reason}")
        self.part = part
        self.reason = reason


class PromptFacts(Struct, frozen=True, kw_only=True):
    """The variables of a template.

    `tools` maps each tool of the environment that is offered to the name that the CLI shows. `source` names what the
    agent may read of the environment's source. `primitives` tells about each primitive that the program is given, by
    name. `episodes_to_pass` is the number of held-out episodes that a submission must solve. `max_steps` is a text,
    such as `300 + 150 * num_blocks`, if it depends on the number of objects.
    """

    description: str
    tools: Mapping[str, str]
    visibility: str
    source: Sequence[str] = ()
    primitives: Mapping[str, str] = {}
    episodes: int
    episodes_to_pass: int
    episode_wall_s: float
    step_wall_s: float | None
    carry_over: bool
    max_steps: int | str
    pass_solve_rate: float
    limits: Limits


def facts(
    environment: EnvironmentConf,
    evaluation: EvaluationConf,
    limits: Limits,
    *,
    description: str = "",
    tools: Mapping[str, str],
    source: Sequence[str] = (),
    primitives: Mapping[str, str] | None = None,
) -> PromptFacts:
    """Return the variables for the templates of a case. `description` is the environment's own."""
    return PromptFacts(
        description=description.strip(),
        tools=tools,
        visibility=environment.visibility,
        source=source,
        primitives=primitives or {},
        episodes=evaluation.scheduled,
        episodes_to_pass=least_solved(environment.pass_solve_rate, evaluation.scheduled),
        episode_wall_s=evaluation.episode_wall_s,
        step_wall_s=evaluation.step_wall_s,
        carry_over=evaluation.carry_over,
        max_steps=_max_steps(environment),
        pass_solve_rate=environment.pass_solve_rate,
        limits=limits,
    )


def _max_steps(environment: EnvironmentConf) -> int | str:
    counts = environment.counts
    if counts is None or not counts.steps_per_object:
        return environment.max_steps
    return f"{environment.max_steps} + {counts.steps_per_object} * {counts.argument}"


def build_prompt(conf: PromptConf, about: PromptFacts) -> str:
    """Return the prompt of a session that begins a conversation. Raise `TemplateFault`."""
    parts = [render(conf, part, about) for part in PARTS if part != "limits" or conf.tell_limits]
    return "\n".join(filter(None, parts))


def render(conf: PromptConf, part: str, about: PromptFacts) -> str:
    """Return one text of a prompt. It ends in a line break, or is empty. Raise `TemplateFault`."""
    text: str = getattr(conf, part)
    try:
        shown = _template(text).render(_variables(about)).strip("\n")
    except TemplateSyntaxError as error:
        raise TemplateFault(conf.name, part, _located(text, error.lineno, error.message)) from error
    except Exception as error:  # a template can raise anything that an expression can
        raise TemplateFault(conf.name, part, _located(text, _line(error), str(error))) from error
    return f"{shown}\n" if shown.strip() else ""


def check_prompt(conf: PromptConf, environment: EnvironmentConf, evaluation: EvaluationConf, limits: Limits) -> None:
    """Raise `TemplateFault` if a template cannot be rendered for an environment, with its tools or without them.

    A prompt that renders to nothing is a fault, too, because a CLI cannot be asked nothing.
    """
    offered: dict[str, str] = {tool: tool for tool in environment.tools}
    primitives = granted(environment.primitives, PRIMITIVES).told
    for tools, source in ((offered, ("source.py",)), ({}, ())):
        about = facts(environment, evaluation, limits, tools=tools, source=source, primitives=primitives)
        for text in TEXTS:
            render(conf, text, about)
        if not build_prompt(conf, about):
            raise TemplateFault(conf.name, "task", "the prompt is empty: each of its parts renders to nothing")
        if not render(conf, "resume", about):
            raise TemplateFault(conf.name, "resume", "this text renders to nothing")


def _show(value: Any) -> Any:
    """Return a value as a template prints it: a number without needless digits."""
    return f"{value:.10g}" if isinstance(value, float) else value


_JINJA: Final = ImmutableSandboxedEnvironment(
    undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_show
)


@cache
def _template(text: str) -> Template:
    """Compile a template. Raise `TemplateSyntaxError`, also for a variable that does not exist."""
    tree = _JINJA.parse(text)
    unknown = find_undeclared_variables(tree) - set(PromptFacts.__struct_fields__)
    for name in tree.find_all(nodes.Name):
        if name.name in unknown:
            known = ", ".join(PromptFacts.__struct_fields__)
            raise TemplateSyntaxError(f"there is no variable {name.name}; choose from: {known}", name.lineno)
    return _JINJA.from_string(tree)


def _variables(about: PromptFacts) -> dict[str, Any]:
    return msgspec.structs.asdict(about) | {"limits": msgspec.structs.asdict(about.limits)}


def _line(error: Exception) -> int:
    """Return the line of the template in which an error was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    return next((frame.lineno or 1 for frame in reversed(frames) if frame.filename == _NAME), 1)


def _located(text: str, line: int, message: str | None) -> str:
    lines = text.splitlines()
    shown = lines[line - 1].strip() if line <= len(lines) else ""
    return f"line {line} ({shown}): {message}" if shown else f"line {line}: {message}"
