"""The configuration of an environment."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, get_args

from msgspec import Meta, Struct, field

from harness.bounds import Count, Seconds, Share

ToolName = Literal["render_state", "render_policy"]
"""A tool that the MCP server of an environment can offer."""

TOOLS: Final[tuple[ToolName, ...]] = get_args(ToolName)

PrimitiveLevel = Literal["none", "low_level", "planning"]
"""Which primitives a program is given: none; motion planning and a check of collisions; or all."""

Visibility = Literal["source", "api"]
"""What an agent may know of an environment: its source, or only what its interface shows."""


_Number = Annotated[int, Meta(ge=0)]


class Counts(Struct, frozen=True, forbid_unknown_fields=True):
    """The numbers of objects of an environment whose episodes have different ones.

    The adapter is made once for each number, which it takes as the argument called `argument`. The agent is told the
    numbers in `design`, and its tools show episodes with these alone. Graded episodes have the numbers in `design` and
    those in `held_out`, evenly. An episode may have `max_steps` of the environment, plus `steps_per_object` for each
    object.

    Raise `ValueError` if a number is there twice.
    """

    argument: Annotated[str, Meta(pattern=r"^[A-Za-z_]\w*$")]
    design: Annotated[list[_Number], Meta(min_length=1)]
    held_out: list[_Number] = field(default_factory=list)
    steps_per_object: _Number = 0

    def __post_init__(self) -> None:
        for name, numbers in (("design", self.design), ("held_out", self.held_out)):
            twice = next((number for number in numbers if numbers.count(number) > 1), None)
            if twice is not None:
                raise ValueError(f"{name} has the number {twice} twice")
        both = next((number for number in self.held_out if number in self.design), None)
        if both is not None:
            raise ValueError(f"the number {both} is in design, so that agents know it, and in held_out: choose one")


class EnvironmentConf(Struct, frozen=True, forbid_unknown_fields=True):
    """A problem: the adapter (`kind`), its arguments, the step limit, and the solve rate that passes.

    `kind` is `maze`, `gymnasium`, `kinder`, or the import path of an adapter class: `mylab.envs:Door`. `needs_mcp`
    means that the problem cannot be solved without the tools of its MCP server. A suite that combines it with a backend
    without MCP is refused. `tools` are the tools that the agent is offered. `prompt` names the prompt of its cases;
    `None` means that of the suite. `solved_when` is a rule of `harness.environments.solved_when`. `visibility` is
    `source` if the agent may read the environment's source, and `api` if the environment is a black box. `primitives`
    is the level of the primitives that the agent's program is given.

    The environment runs in a process of its own. `interpreter` is the path of its Python, or `worlds` for that of the
    extra; `None` means Proctor's own. The process may use `memory_mb` (MB: 2**20 bytes). It may take `start_s` seconds
    to make the environment, and `call_s` for each other call.
    """

    name: str
    kind: str
    arguments: dict[str, Any] = field(default_factory=dict)
    max_steps: Count = 1000
    pass_solve_rate: Share = 0.9
    solved_when: str = "terminated"
    counts: Counts | None = None
    needs_mcp: bool = False
    tools: list[ToolName] = field(default_factory=lambda: list(TOOLS))
    visibility: Visibility = "source"
    primitives: PrimitiveLevel = "none"
    prompt: str | None = None
    interpreter: str | None = None
    memory_mb: Count = 4096
    call_s: Seconds = 20.0
    start_s: Seconds = 120.0
