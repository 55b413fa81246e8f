"""Configures and starts mini-swe-agent, the minimal baseline: one shell tool and a loop.

Measured with mini-swe-agent 2.4.6:

- `mini` writes its whole trajectory to a file after each step, and takes the task from its command line. So a program
  of Proctor's (`program`) runs its agent, its model and its shell tool with the prompts of its `mini.yaml`, and prints
  each message of the trajectory.
- `mini --version` prints the version and exits with code 2, because there is no such option.
- `mini` removes a response without a valid call from the conversation and sends a complaint as the user. The program
  differs: it keeps the response, and answers an invalid call with a tool's result. A response without a call ends the
  session. `echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT` ends it too.
- `mini.yaml` shows the model a command's output as JSON in which only ASCII is unescaped. The program takes the form of
  `default.yaml`, which shows it as it is.
- It has no MCP, no subagents, no compaction, and cannot resume a conversation.
- It reads `.env` in its configuration folder. litellm reads `.env` of the working folder unless it is told that it is
  in production, and looks up the prices of models in the network unless it is told not to.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Annotated, Any

from msgspec import Meta, Struct

from backends import events as ev
from backends.base import Backend, Capabilities, PipPackage, ReportingQuirks, SessionSpec
from backends.mini import stream
from backends.options import read_options


class MiniOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A command may take `command_timeout_s` seconds. `max_retries` is how often a failed request is repeated."""

    command_timeout_s: Annotated[int, Meta(ge=1)] = 120
    max_retries: Annotated[int, Meta(ge=0)] = 1


class Mini(Backend):
    """The adapter of mini-swe-agent."""

    name = "mini"
    installation = PipPackage(package="mini-swe-agent", executable="mini", licence="MIT", megabytes=754)
    options = MiniOptions
    capabilities = Capabilities(mcp=False, resume=False, subagents=False, wires=("openai_chat",))
    quirks = ReportingQuirks()

    def command(self, spec: SessionSpec) -> list[str]:
        """See `Backend.command`. The Python of the CLI's own environment runs the program in the home."""
        python = posixpath.join(posixpath.dirname(spec.executable), "python")
        return [python, "-I", f"{spec.home}/program.py", f"{spec.home}/settings.json", spec.model]

    def config_files(self, spec: SessionSpec) -> dict[str, str]:
        """See `Backend.config_files`. The program itself is one of the files."""
        options = read_options(MiniOptions, spec.options)
        settings = {
            "instructions": _instructions(spec) if spec.instructions else None,
            "command_timeout_s": options.command_timeout_s,
            "request": {
                "api_base": f"{spec.model_url}/v1",
                "api_key": "sealed",
                "max_tokens": spec.output_limit,
                "max_retries": 0,
            },
        }
        files = {f"{spec.home}/program.py": _source(), f"{spec.home}/settings.json": json.dumps(settings, indent=2)}
        return files | ({_instructions(spec): spec.instructions} if spec.instructions else {})

    def environment(self, spec: SessionSpec) -> dict[str, str]:
        """See `Backend.environment`."""
        attempts = 1 + read_options(MiniOptions, spec.options).max_retries
        return {
            "MSWEA_GLOBAL_CONFIG_DIR": f"{spec.home}/.config/mini-swe-agent",
            "MSWEA_SILENT_STARTUP": "1",
            "MSWEA_COST_TRACKING": "ignore_errors",
            "MSWEA_MODEL_RETRY_STOP_AFTER_ATTEMPT": str(attempts),
            "LITELLM_MODE": "PRODUCTION",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "HF_HUB_OFFLINE": "1",
        }

    def decode(self, line: bytes) -> tuple[ev.Event, ...]:
        """See `Backend.decode`."""
        return stream.decode(line)

    def tool_name(self, server: str, tool: str) -> str:
        """See `Backend.tool_name`. Raise `NotImplementedError`: there is no MCP."""
        raise NotImplementedError(f"mini has no MCP: it cannot show {tool} of {server}")

    def builtin_tools(self, options: Mapping[str, Any]) -> frozenset[str]:  # noqa: ARG002 - no option changes them
        """See `Backend.builtin_tools`."""
        return frozenset(("bash",))


BACKEND = Mini()


@cache
def _source() -> str:
    """Return the program's text. It cannot be imported here: mini-swe-agent is in an environment of its own."""
    return resources.files("backends.mini").joinpath("program.py").read_text("utf-8")


def _instructions(spec: SessionSpec) -> str:
    return f"{spec.home}/instructions.md"
