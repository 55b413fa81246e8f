"""The MCP server of a case, ready to be offered at an endpoint of a sandbox."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from harness.environment_conf import ToolName
from harness.environments.base import Environment, Policy
from harness.http_host import HttpHost, Served
from harness.mcp import app as server
from harness.mcp.names import NAME
from harness.mcp.renders import Renders
from harness.mcp.tools import EnvironmentTools
from harness.telemetry import WorldUse


class OfferedTools:
    """The tools while they are offered at one endpoint. `McpServer.serve` makes it."""

    def __init__(self, tools: EnvironmentTools, served: Served) -> None:
        self._tools = tools
        self._served = served

    def close(self) -> None:
        """Stop offering the tools. When this returns, no tool touches the environment any more."""
        self._tools.close()
        self._served.close()


class McpServer:
    """The environment's MCP server, with what a CLI must know to reach it.

    `name` and `path` make its address. `tools` are the tools that it offers. `fault` says why it does not offer
    all that the environment's configuration names, and is `None` if it does. `renders` is the host's folder for the
    pictures that they draw. `open_policy` runs the agent's program from a folder of its workspace, and raises
    `policy_errors`. `use` counts what the agent does with the tools. `opaque` says that the source of the environment
    is hidden.
    """

    name = NAME
    path = server.PATH

    def __init__(
        self,
        environment: Environment,
        tools: Sequence[ToolName],
        renders: Path,
        open_policy: Callable[[str], AbstractContextManager[Policy]],
        policy_errors: tuple[type[Exception], ...],
        http_host: HttpHost,
        *,
        fault: str | None = None,
        use: WorldUse | None = None,
        opaque: bool = False,
    ) -> None:
        self.tools = tuple(dict.fromkeys(tools))
        self.fault = fault
        self.renders = renders
        self.use = use or WorldUse()
        self._opaque = opaque
        self._environment = environment
        self._open_policy = open_policy
        self._policy_errors = policy_errors
        self._http_host = http_host

    @property
    def digest(self) -> str | None:
        """A digest of what the CLI learns about the tools. It is `None` if none is offered."""
        return server.digest(self.tools) if self.tools else None

    def serve(self, listener: socket.socket, *, workspace: str, renders: str) -> OfferedTools:
        """Offer the tools on a listening socket. They can be called when this returns.

        `workspace` and `renders` are the paths of those folders as the agent sees them.
        """
        tools = EnvironmentTools(
            self._environment,
            renders=Renders(self.renders, renders),
            open_policy=self._open_policy,
            policy_errors=self._policy_errors,
            workspace=workspace,
            use=self.use,
            opaque=self._opaque,
        )
        app = server.build_app(tools, self.tools)
        return OfferedTools(tools, self._http_host.serve(app, listener, server.intake()))
