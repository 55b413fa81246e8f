"""`proctor doctor`: shows what this machine can run, and how to get what is missing."""

from __future__ import annotations

import argparse
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from backends.registry import backend, names
from harness import hosting
from harness.agent.cli import CliMissing, find_cli
from harness.case import ProviderConf, SandboxConf
from harness.commands.installing.clis import DEFAULT
from harness.conf_path import ConfPath
from harness.endings import ConfError
from harness.environment_conf import EnvironmentConf
from harness.environments.kinder_ids import by_engine
from harness.environments.worlds import conf_of
from harness.gateway.credential import CredentialMissing
from harness.gateway.signing import credential_of
from harness.lazy import LazyModule
from harness.sandbox.base import SandboxError
from harness.sandbox.factory import make_sandbox
from harness.sandbox.image import current_image
from harness.sandbox.keeper import STRONGER
from harness.sandbox.probe import probe
from harness.seed_key import private_key
from harness.servers.gpus import cpu_slots, inventory
from harness.servers.ollama import OllamaMissing, chosen_server, find_ollama
from harness.servers.ollama_host import VARIABLE

if TYPE_CHECKING:
    from harness.environments import factory, rendering
    from harness.suite import config as configuration
else:  # Hydra and NumPy take 0.3 s to import, and the other commands do not need them
    factory = LazyModule("harness.environments.factory")
    rendering = LazyModule("harness.environments.rendering")
    configuration = LazyModule("harness.suite.config")


class Finding(Struct, frozen=True):
    """The result of one check: whether something is there, and what it is or how to get it.

    `needed` is true for what `proctor setup` installs and every case needs.
    """

    name: str
    ok: bool
    detail: str
    needed: bool = False


def examine() -> Iterator[Finding]:
    """Check everything that a case may need, and yield each finding. The quick checks come first."""
    yield Finding(
        "python", sys.version_info >= (3, 11), f"{platform.python_version()} at {sys.executable}", needed=True
    )
    for name in names():
        yield _guarded(f"cli {name}", partial(_cli, name), CliMissing, ValueError, needed=name in DEFAULT)
    yield _guarded("sandbox bubblewrap", partial(_sandbox, "bubblewrap"), SandboxError, needed=True)
    yield _limits()
    yield _guarded("image of containers", lambda: current_image().digest, SandboxError)
    for kind in ("podman", "docker", "apptainer"):
        yield _guarded(f"sandbox {kind}", partial(_sandbox, kind), SandboxError)
    yield _seed()
    yield _guarded("ollama", _ollama, OllamaMissing, ConfError)
    yield _vllm()
    yield _llamacpp()
    yield from _gpus()
    yield from _keys(ConfPath.of(Path.cwd()))
    yield from _worlds()
    yield from _drawings(ConfPath.of(Path.cwd()))


def add_arguments(_parser: argparse.ArgumentParser) -> None:
    """Add no arguments, because `proctor doctor` takes none."""


def run(_given: argparse.Namespace) -> int:
    """Print every finding. Return 1 if something is missing that every case needs."""
    well = True
    for finding in examine():
        well = well and (finding.ok or not finding.needed)
        mark = "ok" if finding.ok else "MISSING" if finding.needed else "-"
        first, *rest = finding.detail.splitlines()
        print(f"{mark:8}{finding.name:23} {first}")
        for line in rest:
            print(f"{'':32}{line}")
    return 0 if well else 1


def _guarded(name: str, look: Callable[[], str], *missing: type[Exception], needed: bool = False) -> Finding:
    try:
        return Finding(name, True, look(), needed)
    except missing as error:
        return Finding(name, False, str(error), needed)


def _cli(name: str) -> str:
    cli = find_cli(backend(name))
    return f"{cli.version}"


def _sandbox(kind: str) -> str:
    sandbox = make_sandbox(SandboxConf(kind, kind))
    version = sandbox.version
    capability = probe(sandbox)
    if not capability.ok:
        raise SandboxError(f"{capability.reason}\n{capability.remedy}")
    weaker = [f"weaker here: {words}" for words in capability.weaker]
    return "\n".join((f"seals, {version}", *weaker))


def _limits() -> Finding:
    """Return whether the kernel keeps every limit of a box. No case needs that, unless `--require-limits` is given."""
    weaker = (*make_sandbox(SandboxConf("bubblewrap", "bubblewrap")).weaker, *hosting.weaker())
    if not weaker:
        return Finding("sandbox limits", True, "the kernel keeps the limits of memory, disk, processes and CPU")
    return Finding("sandbox limits", False, "\n".join(("weaker than elsewhere:", *weaker, STRONGER)))


def _seed() -> Finding:
    """Return whether there is a private seed. Only cases of real models need one."""
    try:
        key = private_key()
    except ConfError as error:
        return Finding("private seed", False, str(error))
    if key is None:
        return Finding("private seed", False, "none: cases of real models do not run; `proctor seed` makes one")
    return Finding("private seed", True, f"digest {key.digest}, in {key.place}")


def _vllm() -> Finding:
    found = shutil.which("vllm")
    return Finding("vllm", found is not None, found or "not on PATH (provider.vllm.options.executable can name it)")


def _llamacpp() -> Finding:
    found = shutil.which("llama-server") or ("xllamacpp" if find_spec("xllamacpp") else None)
    return Finding("llama.cpp", found is not None, found or "not installed: run `proctor setup --extra local`")


def _gpus() -> Iterator[Finding]:
    """Yield each GPU that this process may use, with the processes that already use it."""
    gpus = inventory()
    for gpu in gpus:
        yield Finding(f"gpu {gpu.index}", True, gpu.described)
    if not gpus:
        yield Finding("gpu", False, f"no GPU to use: models on this machine run on the CPU, {cpu_slots()} at a time")


def _keys(conf: ConfPath) -> Iterator[Finding]:
    """Yield the key or login of each provider that needs one, from the project's configuration and the packaged one."""
    try:
        providers = configuration.load_providers(conf)
    except ConfError as error:
        yield Finding("providers", False, str(error))
        return
    for provider in providers.values():
        if provider.key_variable is not None or provider.signing is not None:
            yield _guarded(f"key of {provider.name}", partial(_key, provider), CredentialMissing)


def _worlds() -> Iterator[Finding]:
    """Yield, for each family of KinDER's environments and each physics engine, whether they run here."""
    for (family, engine), ids in by_engine().items():
        conf = conf_of(ids[0])
        try:
            fault = factory.available(conf)
        except Exception as error:  # the engine may crash while it is imported
            fault = " ".join(str(error).split())
        told = f"{len(ids)} environments" + (f" (engine {engine})" if engine else "")
        if fault is not None:
            told += f" do not run: {fault.removeprefix(f'environment {conf.name}: ')}"
        yield Finding(f"kinder {family}", fault is None, told)


def _drawings(conf: ConfPath) -> Iterator[Finding]:
    """Yield whether each environment can be drawn, from the project's configuration and the packaged one.

    One environment of KinDER stands for all with its engine, because they are drawn in the same way.
    """
    try:
        environments = configuration.load_environments(conf)
    except ConfError as error:
        yield Finding("environments", False, str(error))
        return
    drawn: set[tuple[str, str | None]] = set()
    for name, environment in environments.items():
        alike = factory.drawn_by(environment)
        if alike in drawn:
            continue
        try:
            if alike is not None and factory.available(environment):
                continue
            fault = _draw(environment)
        except Exception as error:  # an environment can raise anything
            fault = f"{error}" if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        if alike is not None:
            drawn.add(alike)
        yield Finding(f"render {name}", fault is None, fault or "works")


def _draw(conf: EnvironmentConf) -> str | None:
    with closing(factory.make_environment(conf)) as environment:
        return rendering.render_fault(conf, environment)


def _key(provider: ProviderConf) -> str:
    credential_of(provider)
    if provider.signing is None:
        return f"set, in {provider.key_variable}"
    return f"set, by provider.{provider.name}.signing"


def _ollama() -> str:
    """Say which Ollama the cases use, and of a running server that they do not use, how to use it."""
    found, used = find_ollama(), chosen_server()
    if used:
        return f"{used.version} answers at {used.url}: cases use this server and its models"
    own = f"{found.binary}: Proctor starts servers of its own"
    if found.url is None:
        return own
    return (
        f"{own}\n{found.version} answers at {found.url}: cases use that server and its models with "
        f"{VARIABLE}={found.url} or --set provider.ollama.base_url={found.url}"
    )
