"""Configures `direct`, the baseline without tools: one completion, or the best of several.

A program of its own (`program`) takes the place of a CLI. It asks the model over any wire, and writes the files that
the answer holds.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any

from msgspec import Meta, Struct

from backends import events as ev
from backends.base import Backend, Bundled, Candidates, Capabilities, ReportingQuirks, SessionSpec
from backends.direct import program, stream
from backends.options import read_options

_HINTS = f"""\
# How to answer

You have no tools here, and no files: you cannot run or look at anything. Answer once, with the whole program.

- Put it into one fenced code block of Python. The block becomes `{program.PROGRAM}`.
- If you need several files, begin each block with a line `# file: NAME`, such as `# file: {program.PROGRAM}`.
"""


class DirectOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`best_of` completions are asked for. Each plays `trial_episodes` public episodes, and the best one is taken."""

    best_of: Annotated[int, Meta(ge=1, le=100)] = 1
    trial_episodes: Annotated[int, Meta(ge=1, le=1000)] = 5


class Direct(Backend):
    """The adapter of `direct`."""

    name = "direct"
    installation = Bundled()
    options = DirectOptions
    capabilities = Capabilities(
        mcp=False,
        resume=False,
        subagents=False,
        wires=("openai_chat", "anthropic_messages", "openai_responses", "google_generate"),
        tools=False,
    )
    quirks = ReportingQuirks(merges_cache_writes=True)

    def command(self, spec: SessionSpec) -> list[str]:
        """See `Backend.command`."""
        return [spec.executable, "-I", f"{spec.home}/program.py", f"{spec.home}/settings.json"]

    def config_files(self, spec: SessionSpec) -> dict[str, str]:
        """See `Backend.config_files`. The program itself is one of the files."""
        candidates = self.candidates(spec.options)
        folders = [f"{spec.workspace}/{name}" for name in candidates.folders] if candidates else [spec.workspace]
        settings = {
            "url": spec.model_url,
            "wire": spec.wire,
            "model": spec.model,
            "instructions": spec.instructions,
            "max_output": spec.output_limit,
            "folders": folders,
        }
        return {f"{spec.home}/program.py": _source(), f"{spec.home}/settings.json": json.dumps(settings, indent=2)}

    def environment(self, spec: SessionSpec) -> dict[str, str]:  # noqa: ARG002 - the contract of Backend
        """See `Backend.environment`."""
        return {}

    def decode(self, line: bytes) -> tuple[ev.Event, ...]:
        """See `Backend.decode`."""
        return stream.decode(line)

    def tool_name(self, server: str, tool: str) -> str:
        """See `Backend.tool_name`. Raise `NotImplementedError`: there are no tools."""
        raise NotImplementedError(f"direct has no tools: it cannot show {tool} of {server}")

    def prompt_hints(self, spec: SessionSpec) -> str:  # noqa: ARG002 - they are the same for every session
        """See `Backend.prompt_hints`. They say how to answer without tools."""
        return _HINTS

    def candidates(self, options: Mapping[str, Any]) -> Candidates | None:
        """See `Backend.candidates`."""
        asked = read_options(DirectOptions, options)
        if asked.best_of == 1:
            return None
        folders = tuple(f"candidate-{number}" for number in range(1, asked.best_of + 1))
        return Candidates(folders=folders, episodes=asked.trial_episodes)


BACKEND = Direct()


@cache
def _source() -> str:
    return inspect.getsource(program)
