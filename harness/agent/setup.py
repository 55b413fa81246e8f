"""What the sessions of a case need. It is collected once and is the same for each attempt."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from backends.base import Backend
from harness.access.kit import Access
from harness.agent.cli import Cli
from harness.agent.driver import Progress
from harness.case import Case
from harness.evaluation.versions import Spent, VersionKeeper
from harness.gateway.account import Account
from harness.gateway.budget import Budget
from harness.gateway.purses import CasePurses
from harness.gateway.server import Gateway
from harness.mcp.server import McpServer
from harness.models.model_server import ModelServer
from harness.sandbox.dirs import SandboxDirs


class SessionSetup(Struct, frozen=True, kw_only=True):
    """What the attempts of a case share: the case, its CLI, its sandbox folders, and the servers outside the sandbox.

    `budget` limits what all attempts together may use of the model. `purses` are the budgets that the case shares with
    other cases, or `None` if there are none. `progress` is called several times a second with the session's progress.
    `access` is what the agent gets of its environment besides the MCP tools. `instructions` are the standing
    instructions that the CLI gets. `versions` keeps what the agent writes between its turns; `None` keeps nothing.
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
    access: Access | None = None
    instructions: str = ""
    purses: CasePurses | None = None
    versions: VersionKeeper | None = None

    def keep_version(self, account: Account, *, last: bool = False) -> None:
        """Keep what the agent has written by now. `last` says that its session is over."""
        if self.versions is None:
            return
        used, known = self.budget.used, account.metered().cost_usd is not None
        spent = Spent(turns=used.turns, tokens=used.tokens, cost_usd=round(used.cost_usd, 9) if known else None)
        self.versions.look(self.dirs.workspace if last else self.dirs.live_workspace, spent, last=last)

    @property
    def servers(self) -> tuple[McpServer, ...]:
        """The MCP servers in the CLI's configuration. There is none for a CLI without MCP, nor without a tool."""
        return (self.mcp,) if self.backend.capabilities.mcp and self.mcp.tools else ()
