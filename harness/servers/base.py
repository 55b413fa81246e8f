"""What every kind of model server answers: how it is found, started, checked and asked what it really loaded.

What starts a server (`start.py`) gives it, beside the variables of its kind, PATH, LANG, HOME, LD_LIBRARY_PATH where
it is set, and CUDA_VISIBLE_DEVICES and ROCR_VISIBLE_DEVICES with its GPUs (`-1`: none). Both its outputs go to its log,
whose end is added to every `ServerFault`. The options of a kind stand in `provider.options`, or in `model.server`,
which goes before it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from harness.case import ModelConf, ProviderConf
from harness.endings import CaseFault, Ending


class ServerMissing(Exception):
    """This machine cannot serve the model: no binary, no such model, no such GPU. The message says how to get it."""


class ServerFault(CaseFault):
    """A model server failed, or serves something else than was asked; the message holds the end of its log."""

    ending = Ending.MODEL_UNREACHABLE


class Launch(Struct, frozen=True, kw_only=True):
    """All that a kind needs to know to start one server.

    `folder` is the server's own: its home and its log lie there. `gpus` are the UUIDs of those that are leased to it;
    none: it runs on the CPU.
    """

    model: ModelConf
    provider: ProviderConf
    port: int
    folder: Path
    gpus: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        """Where it is to answer."""
        return f"http://127.0.0.1:{self.port}"


class Facts(Struct, frozen=True, kw_only=True):
    """What a server says of the model it has loaded; none for what its kind does not tell."""

    version: str | None = None
    digest: str | None = None
    context: int | None = None


Progress = Callable[[str], None]
"""Shows what takes long: a pull, a load."""


class ServerKind(Protocol):
    """The adapter of one kind of server; what they share (lease, process, log, stop) is in `shared.py`."""

    def start_s(self, model: ModelConf, provider: ProviderConf) -> float:
        """Seconds that a server may take until it is healthy. Raises `ConfError` where any of the options is wrong."""

    def there(self, provider: ProviderConf) -> str | None:
        """The address of a server that runs already and is to be used; none: start one.

        Raises `ServerFault` where one is configured and does not answer.
        """

    def command(self, launch: Launch) -> Sequence[str]:
        """The command line that starts it. Raises `ServerMissing` with how to install it."""

    def environment(self, launch: Launch) -> dict[str, str]:
        """The variables it needs beyond PATH, LANG and HOME, which is in its folder."""

    def healthy(self, url: str) -> bool:
        """Whether it answers requests."""

    def prepare(self, url: str, model: ModelConf, provider: ProviderConf, progress: Progress) -> None:
        """Have the model there and loaded. Raises `ServerMissing` or `ServerFault`."""

    def inspect(self, url: str, model: ModelConf, provider: ProviderConf) -> Facts:
        """What it has loaded. Raises `ServerFault` where that is not what the model's conf asks for."""

    def metrics(self, url: str) -> Mapping[str, float]:
        """Its own counters by name; empty where its kind tells none. Raises `ServerFault` where it does not answer."""

    def warnings(self, log: str) -> list[str]:
        """What a piece of its log says that makes a case's result doubtful."""
