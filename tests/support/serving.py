"""Helpers for tests of model servers: 8 fake GPUs, a stand-in for Ollama, separate leases, and workers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from harness.case import ModelConf, ProviderConf, ServerNeed
from harness.servers import journal
from harness.servers.acquire import Lease, acquire
from harness.servers.base import ServerKind
from harness.servers.kinds import kind_of
from harness.servers.leases import FOLDER_VARIABLE, LeasedServer, Leases
from harness.servers.processes import marked
from tests.support.fake_gpus import MEMORY_MB, FakeGpus
from tests.support.ollama_on_path import StandIn
from tests.support.stand_in_ollama import ROOT

if TYPE_CHECKING:
    import pytest

MODEL = "qwen3-coder:30b"
OLLAMA = ProviderConf("ollama", "ollama", ["openai_chat", "anthropic_messages"])


def wait_until(condition: Callable[[], bool], what: str, deadline_s: float = 60.0) -> None:
    """Poll until the condition holds. The deadline only ends a hopeless wait."""
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, f"waited {deadline_s:g} s for {what}"
        time.sleep(0.01)


class Machine:
    """A machine with GPUs and Ollama, and one run on it."""

    def __init__(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, gpus: int = 8, memory_mb: int = MEMORY_MB
    ) -> None:
        self.gpus = FakeGpus(folder / "gpus", gpus, memory_mb)
        self.gpus.install(monkeypatch)
        self.ollama = StandIn(folder / "ollama")
        self.ollama.add_model(MODEL)
        self.run = folder / "run"
        self.run.mkdir()
        self.lease_folder = folder / "leases"
        monkeypatch.setenv(FOLDER_VARIABLE, str(self.lease_folder))
        for name, value in self.ollama.variables.items():
            monkeypatch.setenv(name, value)

    def acquire(
        self,
        *,
        name: str = "qwen",
        provider: ProviderConf = OLLAMA,
        progress: Callable[[str], None] = lambda _: None,
        wait_s: float = 60.0,
        kind: ServerKind | None = None,
        **model: Any,
    ) -> Lease:
        conf = ModelConf(**{"name": name, "provider": "ollama", "served_as": MODEL, "gpus": 1, **model})
        return acquire(
            ServerNeed(f"ollama/{name}", conf.gpus, conf.parallel),
            conf,
            provider,
            kind=kind or kind_of(provider),
            run_folder=self.run,
            progress=progress,
            wait_s=wait_s,
        )

    @property
    def servers(self) -> list[LeasedServer]:
        with Leases().change() as state:
            return state.servers

    @property
    def processes(self) -> set[int]:
        """All processes of all servers, orphans included."""
        return set(marked(str(self.lease_folder)))

    @property
    def journal(self) -> list[tuple[str, str]]:
        return [(entry.event, entry.server) for entry in journal.read(self.run)]

    def is_clean(self) -> bool:
        """Return whether nothing is left: no lease, no process, no memory in use."""
        from harness.servers.gpus import inventory  # noqa: PLC0415 - sees the fake NVML only once that is there

        return not self.servers and not self.processes and all(gpu.free_mb == gpu.memory_mb for gpu in inventory())

    @contextmanager
    def worker(self, **model: Any) -> Iterator[Worker]:
        """Start a process that gets a lease, as a worker of the harness does."""
        worker = Worker(self.run, model)
        try:
            yield worker
        finally:
            worker.kill()


class Worker:
    """A process with a lease. `said` are the lines that it printed. It holds the lease until `release`."""

    def __init__(self, run: Path, model: dict[str, Any]) -> None:
        self.said: list[str] = []
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.serving", str(run), json.dumps(model)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join((os.environ["PYTHONPATH"], str(ROOT)))},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def wait_for(self, *texts: str) -> str:
        """Read until it prints one of these texts. Return the rest of that line."""
        assert self._process.stdout
        for line in self._process.stdout:
            self.said.append(line.rstrip())
            for text in texts:
                before, found, after = line.rstrip().partition(text)
                if found:
                    return after or before
            if line.startswith("held ") and "releasing" not in texts:
                break  # it prints nothing more until its standard input ends
        raise AssertionError(f"the worker never said {' or '.join(texts)}, but {self.said}")

    def held(self) -> dict[str, Any]:
        """Wait until it has its lease, which sets `url` and `gpus`."""
        return dict(json.loads(self.wait_for("held ")))

    def release(self, *, wait: bool = True) -> None:
        """Make it give its lease back and end."""
        assert self._process.stdin
        self._process.stdin.close()
        if wait:
            assert self._process.wait() == 0

    def kill(self) -> None:
        """Kill it with SIGKILL."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                pipe.close()


def main() -> None:
    """Run a worker: get a lease, print that, and give the lease back at the end of standard input."""
    run, options = Path(sys.argv[1]), json.loads(sys.argv[2])
    conf = msgspec.convert({"name": "qwen", "provider": "ollama", "served_as": MODEL, "gpus": 1, **options}, ModelConf)
    need = ServerNeed(f"ollama/{conf.name}", conf.gpus, conf.parallel)

    def say(text: str) -> None:
        print(text, flush=True)

    with acquire(need, conf, OLLAMA, kind=kind_of(OLLAMA), run_folder=run, progress=say, wait_s=60) as lease:
        say("held " + json.dumps({"url": lease.url, "gpus": lease.gpus}))
        sys.stdin.read()
        say("releasing")


if __name__ == "__main__":
    main()
