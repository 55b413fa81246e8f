"""What every backend answers: how to call a coding-agent CLI, configure it and read its stream."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from msgspec import Struct, field

from backends.events import Event


class McpEndpoint(Struct, frozen=True):
    """An MCP server as the CLI is told of it: its name and its streamable-HTTP address."""

    name: str
    url: str


class SessionSpec(Struct, frozen=True, kw_only=True):
    """All a backend needs to know to set up one session; every path is as seen inside the sandbox.

    `model_url` is the root of the model endpoint (`http://127.0.0.1:PORT`, no `/v1`).
    `wire` is the one by which the model is asked, of those in the backend's capabilities.
    `options` are the backend's own knobs, from `conf/backend/NAME.yaml`. `resume` is the id of the conversation in
    `home` to go on with, or none for a new one.
    """

    executable: str
    workspace: str
    home: str
    model: str
    context: int
    model_url: str
    wire: str
    mcp: tuple[McpEndpoint, ...] = ()
    instructions: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    resume: str | None = None


class ReportingQuirks(Struct, frozen=True, kw_only=True):
    """Where a CLI's own account of a session may rightly differ from the ledger of what its model was asked.

    `hides_subagents`: not all turns of a subagent are in its stream or its totals. `totals_at_end`: some of its tokens
    are told by its final event alone, which a session that was stopped does not have. `hides_refused_calls`: a call of
    a tool that it does not have, or with arguments that do not fit, or of one that it does not show, is not in its
    stream. `merges_cache_writes`: over some wires it takes tokens that the model's service wrote to a cache for others
    of the prompt. `script_tool`: the tool that runs scripts of the model's; its stream has the calls that a script
    makes, and not the script's own.
    """

    hides_subagents: bool = False
    totals_at_end: bool = False
    hides_refused_calls: bool = False
    merges_cache_writes: bool = False
    script_tool: str | None = None


class Capabilities(Struct, frozen=True, kw_only=True):
    """What a CLI can do. What it cannot, no case may ask of it, and no clause of the contract.

    `limits` are those that it holds itself when told to (`turns`, `cost_usd`); `wires` the wires by which it asks its
    model, by the gateway's names for them.
    """

    mcp: bool
    resume: bool
    subagents: bool
    limits: tuple[str, ...]
    wires: tuple[str, ...]


class Backend(ABC):
    """The adapter of one coding-agent CLI. Pure: it opens no process, socket or file."""

    name: ClassVar[str]
    package: ClassVar[str]
    """The npm package, whose pinned version stands in `backends/cli/package.json`."""
    program: ClassVar[str]
    """The name of the executable that the package installs."""
    options: ClassVar[type[Struct]]
    """The knobs of this adapter, as `options` in `conf/backend/NAME.yaml` may set them."""
    capabilities: ClassVar[Capabilities]
    quirks: ClassVar[ReportingQuirks] = ReportingQuirks()
    """What explains differences between its report and the gateway's ledger."""

    @abstractmethod
    def command(self, spec: SessionSpec) -> list[str]:
        """The command line. The prompt goes to standard input; nothing secret or long stands here."""

    @abstractmethod
    def config_files(self, spec: SessionSpec) -> dict[str, str]:
        """Text of each file to write before the start, by its absolute path inside the sandbox."""

    @abstractmethod
    def environment(self, spec: SessionSpec) -> dict[str, str]:
        """The variables this CLI needs, beyond HOME, PATH, TMPDIR and LANG; nothing of the host is inherited."""

    @abstractmethod
    def decode(self, line: bytes) -> tuple[Event, ...]:
        """The events in one line of the CLI's standard output (without its newline).

        Never raises: a line that is no event of this CLI becomes `Unknown` or `Malformed`.
        """

    def read_stderr(self, text: str) -> tuple[Event, ...]:  # noqa: ARG002 - for those CLIs that have something to tell
        """Events that this CLI tells on standard error alone; never raises. Most have none."""
        return ()

    @abstractmethod
    def tool_name(self, server: str, tool: str) -> str:
        """How this CLI shows the tool of an MCP server to its model."""

    def prompt_hints(self, spec: SessionSpec) -> str:
        """What the task's prompt adds for this CLI: how the tools of each MCP server are named."""
        return "\n".join(
            f"The tools of the MCP server `{server.name}` are named `{self.tool_name(server.name, 'NAME')}`."
            for server in spec.mcp
        )
