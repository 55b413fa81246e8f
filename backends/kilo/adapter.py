"""Calls and configures Kilo Code's CLI, a fork of OpenCode: `kilo run --format json`.

Measured with Kilo Code 7.7.7:

- Its stream, its log and its configuration are OpenCode's, under names of its own.
- It computes for 7 seconds before the first request, and waits for nothing. Most of it goes into the description of its
  own server. An empty list of models saves a second.
- Without a limit on its retries, it repeats a request whose server cannot be reached without end. A limit of 0 is none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import Meta

from backends.base import NpmPackage, SessionSpec
from backends.opencode.adapter import OpenCode, OpenCodeOptions
from backends.options import read_options


class KiloOptions(OpenCodeOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The options of OpenCode. `max_retries` is how often a failed request is repeated."""

    max_retries: Annotated[int, Meta(ge=1)] = 1


class Kilo(OpenCode):
    """The adapter of Kilo Code."""

    name = "kilo"
    installation = NpmPackage(package="@kilocode/cli", executable="kilo", licence="MIT", megabytes=292)
    options = KiloOptions
    folder = "kilo"
    main_agent = "code"

    def config_files(self, spec: SessionSpec) -> dict[str, str]:
        """See `Backend.config_files`. The list of models holds none but the session's own."""
        return {**super().config_files(spec), _models(spec): "{}"}

    def environment(self, spec: SessionSpec) -> dict[str, str]:
        """See `Backend.environment`."""
        retries = read_options(KiloOptions, spec.options).max_retries
        return {
            **super().environment(spec),
            **dict.fromkeys(_OFF, "1"),
            "KILO_TELEMETRY_LEVEL": "off",
            "KILO_MODELS_PATH": _models(spec),
            "KILO_SESSION_RETRY_LIMIT": str(retries),
        }

    def builtin_tools(self, options: Mapping[str, Any]) -> frozenset[str]:
        """See `Backend.builtin_tools`."""
        return super().builtin_tools(options) | _MORE_TOOLS


BACKEND = Kilo()

_OFF = (
    "KILO_DISABLE_CODEBASE_INDEXING",
    "KILO_DISABLE_PRESENCE",
    "KILO_DISABLE_SESSION_INGEST",
    "KILO_NO_DAEMON",
)

_MORE_TOOLS = frozenset(
    ("background_process", "board_post", "board_read", "cancel_wakeup", "kilo_local_recall", "schedule_wakeup")
)


def _models(spec: SessionSpec) -> str:
    return f"{spec.home}/.config/kilo/models.json"
