"""What an agent is offered of its environment: the tools, its source or a client, and what is hidden from it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from harness.access.kit import Access
from harness.environment_conf import EnvironmentConf
from harness.environments.hosted import HostedEnvironment
from harness.environments.provenance import hidden_from
from harness.environments.rendering import render_fault
from harness.evaluation.policy import PolicyHost
from harness.evaluation.policy_link import PolicyError
from harness.evaluation.private_world import PrivateWorld
from harness.evaluation.submission import collect
from harness.http_host import HttpHost
from harness.mcp.server import McpServer
from harness.sandbox.base import SandboxError
from harness.sandbox.dirs import SandboxDirs

__all__ = ["Access", "hidden_from", "mcp_config"]


def mcp_config(
    conf: EnvironmentConf, environment: HostedEnvironment, dirs: SandboxDirs, http_host: HttpHost
) -> McpServer:
    """Return the case's MCP server. Its tool `render_policy` runs the agent's program in a sandbox of its own.

    If the environment cannot be drawn on this machine, the server offers no tools, and its `fault` says why.
    """

    @contextmanager
    def open_policy(approach_dir: str) -> Iterator[PolicyHost]:
        with dirs.folder.scratch() as scratch:
            copied = collect(dirs.live_workspace, scratch / "submission", folder=approach_dir)
            if copied.reason:
                raise PolicyError(copied.reason)
            with (
                closing(PrivateWorld(environment)) as world,
                PolicyHost(dirs.sandbox, copied.path, scratch, environment.spaces(), world=world) as policy,
            ):
                yield policy

    errors = (PolicyError, SandboxError)
    fault = render_fault(conf, environment) if conf.tools else None
    if fault is not None:
        fault = f"{' and '.join(conf.tools)} not offered, because environment {conf.name} cannot be drawn: {fault}"
    tools = () if fault else conf.tools
    return McpServer(
        environment,
        tools,
        dirs.folder.renders,
        open_policy,
        errors,
        http_host,
        fault=fault,
        opaque=conf.visibility == "api",
    )
