"""The configuration of an environment."""

from __future__ import annotations

from typing import Any, Final, Literal, get_args

from msgspec import Struct, field

from harness.bounds import Count, Seconds, Share

ToolName = Literal["render_state", "render_policy"]
"""A tool that the MCP server of an environment can offer."""

TOOLS: Final[tuple[ToolName, ...]] = get_args(ToolName)


class EnvironmentConf(Struct, frozen=True, forbid_unknown_fields=True):
    """A problem: the adapter (`kind`), its arguments, the step limit, and the solve rate that passes.

    `kind` is `maze`, `gymnasium`, `kinder`, or the import path of an adapter class: `mylab.envs:Door`. `needs_mcp`
    means that the problem cannot be solved without the tools of its MCP server. A suite that combines it with a backend
    without MCP is refused. `tools` are the tools that the agent is offered. `prompt` names the prompt of its cases;
    `None` means that of the suite. `solved_when` is a rule of `harness.environments.solved_when`.

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
    needs_mcp: bool = False
    tools: list[ToolName] = field(default_factory=lambda: list(TOOLS))
    prompt: str | None = None
    interpreter: str | None = None
    memory_mb: Count = 4096
    call_s: Seconds = 20.0
    start_s: Seconds = 120.0
