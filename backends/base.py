"""`Backend`, the interface of an adapter: how to install and call a coding-agent CLI, and how to read its stream.

A new adapter subclasses `Backend`. `docs/adding-a-backend.md` shows how.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, ClassVar

from msgspec import Struct, field

from backends.events import Event


class NpmPackage(Struct, frozen=True, kw_only=True):
    """A CLI that npm installs, in the version that `backends/cli/EXECUTABLE/package.json` pins.

    `executable` is the program that the package installs. Its version is in the package's own `package.json`. If the
    pins include a package with a `node` of its own, that one runs the CLI. `licence` and `megabytes`, the size of the
    installation, are told before it begins.

    `cache` is for a CLI that unpacks itself when it first starts: the variable that names the folder it unpacks to. The
    installation includes that first start. Every session then reads the same folder, and cannot write to it.
    """

    package: str
    executable: str
    licence: str
    megabytes: int
    cache: str | None = None


class PipPackage(Struct, frozen=True, kw_only=True):
    """A CLI that pip installs into its own virtual environment, as `backends/cli/EXECUTABLE/requirements.txt` pins it.

    That file has hashes. `executable` is the console script that the package installs. Its version is in the installed
    package's metadata. `licence` and `megabytes`, the size of the installation, are told before it begins.
    """

    package: str
    executable: str
    licence: str
    megabytes: int


class OnPath(Struct, frozen=True, kw_only=True):
    """A CLI that the user installs: an executable on PATH, in any version.

    Called with `version_arguments`, it prints its version. `how_to_install` completes the error "NAME is not on
    PATH: …".
    """

    executable: str
    how_to_install: str
    version_arguments: tuple[str, ...] = ("--version",)


class Bundled(Struct, frozen=True):
    """A program that comes with its adapter, which writes it into the home. Proctor's own Python runs it."""


Installation = NpmPackage | PipPackage | OnPath | Bundled
"""How a CLI is installed, and so where its executable and its version are found."""


class McpEndpoint(Struct, frozen=True):
    """An MCP server as the CLI sees it: its name and its streamable-HTTP address."""

    name: str
    url: str


class SessionSpec(Struct, frozen=True, kw_only=True):
    """What a backend needs to set up one session. All paths are paths inside the sandbox.

    `model_url` is the root of the model endpoint (`http://127.0.0.1:PORT`, without `/v1`). `wire` is the protocol that
    the CLI speaks with the model, one of those in the backend's capabilities. `context` is the model's context in
    tokens. `options` are the backend's own, from `conf/backend/NAME.yaml`. `resume` is the id of the conversation in
    `home` to continue, or `None` to begin a new one. `compact` asks the CLI to compact that conversation before it goes
    on, for a CLI that has no `Backend.compact_prompt`.
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
    compact: bool = False

    @property
    def output_limit(self) -> int:
        """The tokens that one response may have: a quarter of the context, at most 32,000 (most CLIs' own default)."""
        return min(32_000, max(1, self.context // 4))


class ReportingQuirks(Struct, frozen=True, kw_only=True):
    """Why a CLI's own account of a session may differ from the gateway's ledger although nothing is wrong.

    - `hides_subagents`: the stream or its totals leave out some turns of a subagent.
    - `totals_at_end`: only the final event reports some of the tokens. A stopped session has no final event.
    - `totals_go_on`: when the CLI resumes a conversation, its totals include those of the processes before.
    - `hides_refused_calls`: the stream leaves out calls that the CLI does not carry out (the tool is unknown, or the
      arguments do not fit), and calls of some tools that it never shows.
    - `merges_cache_writes`: over some wires, the CLI counts tokens written to the cache as ordinary prompt tokens.
    - `counts_compactions`: the stream shows a response that compacts the conversation like any other.
    - `summaries_tried`: how many responses one compaction may take, if a summary without its marks is asked for again.
    - `script_tool`: the tool that runs scripts written by the model. The stream shows the calls that a script makes,
      but not the call of the script itself.
    """

    hides_subagents: bool = False
    totals_at_end: bool = False
    totals_go_on: bool = False
    hides_refused_calls: bool = False
    merges_cache_writes: bool = False
    counts_compactions: bool = False
    summaries_tried: int = 1
    script_tool: str | None = None


class Capabilities(Struct, frozen=True, kw_only=True):
    """What a CLI can do. A case or contract clause that needs a missing capability is refused at collection.

    `wires` are the protocols that the CLI can speak with its model, by the gateway's names for them. `compact`: when it
    resumes a conversation, it can be told to compact it first. `tools`: it offers tools to its model. For a CLI that
    does not, each request without tools is a turn.
    """

    mcp: bool
    resume: bool
    subagents: bool
    wires: tuple[str, ...]
    compact: bool = False
    tools: bool = True


class Candidates(Struct, frozen=True, kw_only=True):
    """Several submissions that one session leaves, each in a folder of the workspace.

    Each plays `episodes` public episodes. The one that solves the most is handed in; of equal ones, it is the first.
    """

    folders: tuple[str, ...]
    episodes: int


class Backend(ABC):
    """The adapter of one coding-agent CLI. It is pure: it starts no process and opens no socket and no file."""

    name: ClassVar[str]
    installation: ClassVar[Installation]
    options: ClassVar[type[Struct]]
    """The options of this adapter, which `conf/backend/NAME.yaml` may set."""
    capabilities: ClassVar[Capabilities]
    own_limits: ClassVar[Mapping[str, str]] = {}
    """The limits that the CLI can enforce itself: the reason in its final event, and the limit's name in `limits`
    (`turns`, `cost_usd`). `decode` puts that name into `SessionFinished.limit`."""
    quirks: ClassVar[ReportingQuirks] = ReportingQuirks()
    compact_prompt: ClassVar[str | None] = None
    """The prompt with which a session compacts the conversation that it resumes, and does nothing else. `None`: the CLI
    has no such command. If it can compact, it does so at the start of a session with `SessionSpec.compact`."""

    @abstractmethod
    def command(self, spec: SessionSpec) -> list[str]:
        """Return the command line. It must not hold a secret or a long text. The prompt goes to standard input."""

    @abstractmethod
    def config_files(self, spec: SessionSpec) -> dict[str, str]:
        """Return the text of each file to write before the start, by its absolute path in workspace or home."""

    @abstractmethod
    def environment(self, spec: SessionSpec) -> dict[str, str]:
        """Return the variables that this CLI needs beyond HOME, PATH, TMPDIR and LANG. It inherits no others."""

    @abstractmethod
    def decode(self, line: bytes) -> tuple[Event, ...]:
        """Return the events in one line of the CLI's standard output (without its newline).

        It never raises. A line that this adapter does not know becomes `Unknown` or `Malformed`.
        """

    def read_stderr(self, text: str) -> tuple[Event, ...]:  # noqa: ARG002 - only some CLIs write events there
        """Return the events that this CLI reports only on standard error. It never raises."""
        return ()

    def conversation_files(self, session_id: str) -> tuple[str, ...]:  # noqa: ARG002 - only CLIs that resume have any
        """Return glob patterns, relative to the home, for the files in which the CLI keeps this conversation.

        The conversation can be resumed only if a file matches one of them. A CLI that cannot resume has none.
        """
        return ()

    @abstractmethod
    def tool_name(self, server: str, tool: str) -> str:
        """Return the name under which this CLI shows the tool of an MCP server to its model."""

    def builtin_tools(self, options: Mapping[str, Any]) -> frozenset[str] | None:  # noqa: ARG002 - for subclasses
        """Return the names of every tool of its own that this CLI may offer its model, under these options.

        A script that calls any other tool is refused at collection. Return `None` if they are not known: then nothing
        is checked.
        """
        return None

    def candidates(self, options: Mapping[str, Any]) -> Candidates | None:  # noqa: ARG002 - for subclasses
        """Return the submissions that a session leaves, or `None` if it leaves one, in the workspace itself."""
        return None

    def prompt_hints(self, spec: SessionSpec) -> str:
        """Return the lines that the task's prompt adds for this CLI: the names of each MCP server's tools."""
        return "\n".join(
            f"The tools of the MCP server `{server.name}` are named `{self.tool_name(server.name, 'NAME')}`."
            for server in spec.mcp
        )


@lru_cache(maxsize=1024)
def plain_name(name: str) -> str:
    """Return the name as most CLIs write it in an MCP tool's name: it keeps letters, digits, `_` and `-`."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)
