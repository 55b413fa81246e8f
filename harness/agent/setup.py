"""What the sessions of a case need. It is collected once and is the same for each attempt."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from backends.base import Backend
from harness.agent.cli import Cli
from harness.agent.driver import Progress
from harness.case import Case
from harness.gateway.budget import Budget
from harness.gateway.purses import CasePurses
from harness.gateway.server import Gateway
from harness.mcp.server import McpServer
from harness.models.model_server import ModelServer
from harness.sandbox.dirs import SandboxDirs


class SessionSetup(Struct, frozen=True, kw_only=True):
    """What the attempts of a case share: the case, its CLI, its sandbox folders, and the servers outside the sandbox.

    `budget` limits what all attempts together may use of the model. `purses` are the budgets that the case shares with
    other cases, or `None` if there are none. `progress` is called several times a second with
    the session's progress. `instructions` are the standing instructions that the CLI gets.
    """

    case: Case
    backend: Backend
    cli: Cli
    dirs: SandboxDirs
    budget: Budget
    gateway: Gateway
    model_server: ModelServer
    mcp: McpServer
    progress: Callable[[Progress], None]
    instructions: str = ""
    purses: CasePurses | None = None

    @property
    def servers(self) -> tuple[McpServer, ...]:
        """The MCP servers in the CLI's configuration. There is none for a CLI without MCP, nor without a tool."""
        return (self.mcp,) if self.backend.capabilities.mcp and self.mcp.tools else ()
