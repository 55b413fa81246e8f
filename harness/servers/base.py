"""The protocol of a kind of model server: how to find, start and check one, and what it has loaded.

`start.py` starts a server with the variables of its kind and with PATH, LANG, HOME, LD_LIBRARY_PATH if it is set, and
CUDA_VISIBLE_DEVICES and ROCR_VISIBLE_DEVICES with its GPUs (`-1`: no GPU). Standard output and error go to its log, and
every `ServerFault` shows the end of the log. The options of a kind are in `provider.options` and in `model.server`. The
latter overrides the former.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from harness.case import ModelConf, ProviderConf
from harness.endings import CaseFault, Ending


class ServerMissing(Exception):
    """This machine lacks a binary, weights or a GPU to serve the model. The message says how to get it."""


class ServerFault(CaseFault):
    """A model server failed, or does not serve the configured model. The message shows the end of its log."""

    ending = Ending.MODEL_UNREACHABLE


class Launch(Struct, frozen=True, kw_only=True):
    """What a kind needs to know to start one server.

    `folder` is the server's own folder, with its home and its log. `gpus` are the UUIDs of the GPUs that are leased to
    it. A server without a GPU runs on the CPU.
    """

    model: ModelConf
    provider: ProviderConf
    port: int
    folder: Path
    gpus: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        """The address at which the server will answer."""
        return f"http://127.0.0.1:{self.port}"


class Facts(Struct, frozen=True, kw_only=True):
    """What a server says about its loaded model. A field is `None` if its kind does not report it."""

    version: str | None = None
    digest: str | None = None
    context: int | None = None


Progress = Callable[[str], None]
"""Shows the user the progress of something slow: a pull, a load, a wait."""


class ServerKind(Protocol):
    """The adapter of one kind of server. It knows nothing of leases, processes and logs."""

    def start_s(self, model: ModelConf, provider: ProviderConf) -> float:
        """Return the seconds that a server may take until it is healthy. Raise `ConfError` if any option is wrong."""

    def external_url(self, provider: ProviderConf) -> str | None:
        """Return the address of a configured server that already runs, or `None` if Proctor must start one.

        Raise `ServerFault` if a configured server does not answer.
        """

    def command(self, launch: Launch) -> Sequence[str]:
        """Return the command line that starts the server. Raise `ServerMissing`, which says how to install it."""

    def environment(self, launch: Launch) -> dict[str, str]:
        """Return the variables that the server needs beyond PATH, LANG and HOME, which is in its folder."""

    def healthy(self, url: str) -> bool:
        """Return whether the server answers requests."""

    def prepare(self, url: str, model: ModelConf, provider: ProviderConf, progress: Progress) -> None:
        """Fetch the model, if that is allowed, and load it. Raise `ServerMissing` or `ServerFault`."""

    def inspect(self, url: str, model: ModelConf, provider: ProviderConf) -> Facts:
        """Return what the server has loaded. Raise `ServerFault` if it differs from the model's configuration."""

    def metrics(self, url: str) -> Mapping[str, float]:
        """Return the server's own counters; empty if its kind has none. Raise `ServerFault` if it does not answer."""

    def warnings(self, log: str) -> list[str]:
        """Return the messages in this piece of the server's log that make a case's result doubtful."""
