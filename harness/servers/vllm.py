"""vLLM as a kind of server: `vllm serve`, from its own environment.

It answers `/health` with 200 once its engine has loaded the model, and with 503 once the engine has died. It refuses a
prompt that its context cannot hold. Weights come from a folder, or from the cache of Hugging Face's hub.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

from msgspec import Meta, Struct, field

from harness.bounds import Seconds
from harness.case import ModelConf, ProviderConf
from harness.endings import ConfError
from harness.servers.base import Facts, Launch, ServerFault, ServerKind, ServerMissing
from harness.servers.health import HealthCheckedServers, get_json, require_digest
from harness.servers.options import options_of

_INHERITED: Final = re.compile(r"HF_|CUDA_HOME$|LD_LIBRARY_PATH$|(https?|no)_proxy$|SSL_CERT_FILE$", re.IGNORECASE)
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
_NAMED: Final = re.compile(r"[\w.-]+/[\w.-]+")

Text = Annotated[str, Meta(min_length=1)]


class VllmOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The options of kind `vllm`, in `provider.options` and `model.server`.

    `weights` is a folder, or ORGANISATION/NAME on Hugging Face's hub, at `revision`. `download` lets vLLM fetch missing
    weights. `tool_call_parser` and `reasoning_parser` are vLLM's names for how the model writes tool calls and
    thoughts. `executable` is vLLM's name on PATH, or its path. `arguments` are further arguments of `vllm serve`.
    `start_s` is how many seconds starting and loading may take.
    """

    weights: Text
    tool_call_parser: Text
    reasoning_parser: Text | None = None
    revision: Text = "main"
    download: bool = False
    executable: str = "vllm"
    arguments: list[str] = field(default_factory=list)
    start_s: Seconds = 1800.0


class VllmServers(HealthCheckedServers):
    """vLLM as a kind of server (`ServerKind`)."""

    def start_s(self, model: ModelConf, provider: ProviderConf) -> float:
        """See `ServerKind`."""
        return options_of(VllmOptions, model, provider).start_s

    def command(self, launch: Launch) -> Sequence[str]:
        """See `ServerKind`."""
        model, options = launch.model, options_of(VllmOptions, launch.model, launch.provider)
        if "/" in model.asked_as:  # Claude Code cannot ask for such a model
            raise ConfError(f"conf/model/{model.name}.yaml: served_as: {model.asked_as}: must not contain `/`")
        program = shutil.which(Path(options.executable).expanduser())
        if program is None:
            raise ServerMissing(
                f"no vLLM: there is no `{options.executable}` on PATH; install it in its own environment "
                f"(python3 -m venv ~/vllm && ~/vllm/bin/pip install vllm) and set "
                f"provider.{launch.provider.name}.options.executable=~/vllm/bin/vllm"
            )
        named = _find(options, model)
        return [
            *(program, "serve", options.weights if named else str(_folder(options))),
            *("--host", "127.0.0.1", "--port", str(launch.port), "--served-model-name", model.asked_as),
            *("--max-model-len", str(model.context), "--tensor-parallel-size", str(max(1, model.gpus))),
            *("--enable-auto-tool-choice", "--tool-call-parser", options.tool_call_parser),
            *(["--reasoning-parser", options.reasoning_parser] if options.reasoning_parser else []),
            *(["--revision", options.revision] if named else []),
            *options.arguments,
        ]

    def environment(self, launch: Launch) -> dict[str, str]:
        """See `ServerKind`. Weights and compiled kernels are in the same folders as for this user's other vLLMs."""
        options = options_of(VllmOptions, launch.model, launch.provider)
        inherited = {name: value for name, value in os.environ.items() if _INHERITED.match(name)}
        return {
            **inherited,
            "HF_HOME": str(_hugging_face()),
            "HF_HUB_CACHE": str(_hub()),
            "VLLM_CACHE_ROOT": os.environ.get("VLLM_CACHE_ROOT") or str(_cache() / "vllm"),
            "VLLM_NO_USAGE_STATS": "1",
            **({} if options.download else {"HF_HUB_OFFLINE": "1"}),
        }

    def inspect(self, url: str, model: ModelConf, provider: ProviderConf) -> Facts:
        """See `ServerKind`. Checks the name, the context and the commit of the weights."""
        where = f"conf/model/{model.name}.yaml"
        models = get_json(url, "/v1/models", _Models).data
        served = next((served for served in models if served.id == model.asked_as), None)
        if served is None:
            names = ", ".join(served.id for served in models) or "nothing"
            raise ServerFault(f"{url} serves {names}, but {where} asks for {model.asked_as} (--served-model-name)")
        if served.max_model_len is not None and served.max_model_len < model.context:
            raise ServerFault(
                f"{url} gives {served.id} {served.max_model_len} tokens of context (--max-model-len), but {where} asks "
                f"for {model.context}"
            )
        digest = _digest(options_of(VllmOptions, model, provider))
        require_digest(digest, model)
        version = get_json(url, "/version", _VllmVersion).version
        return Facts(version=f"vLLM {version}", digest=digest, context=served.max_model_len)

    def warnings(self, log: str) -> list[str]:  # noqa: ARG002 - the contract of ServerKind
        """See `ServerKind`. There are none, because vLLM refuses what it cannot do in full."""
        return []


KIND: ServerKind = VllmServers()


class _Model(Struct):
    id: str
    max_model_len: int | None = None


class _Models(Struct):
    data: list[_Model]


class _VllmVersion(Struct):
    version: str


def _find(options: VllmOptions, model: ModelConf) -> bool:
    """Return whether the weights are in the hub's cache, not in a folder. Raise `ServerMissing` without either."""
    where = f"conf/model/{model.name}.yaml: server.weights"
    if _folder(options).is_dir():
        return False
    if not _NAMED.fullmatch(options.weights):
        raise ServerMissing(f"no weights of {model.name}: there is no folder {_folder(options)} ({where})")
    commit = _commit(options)
    if not options.download and not (commit and (_repository(options) / "snapshots" / commit).is_dir()):
        raise ServerMissing(
            f"no weights of {model.name}: {options.weights} ({where}) is not in {_hub()}: run "
            f"`hf download {options.weights} --revision {options.revision}`, or set "
            f"model.{model.name}.server.download=true"
        )
    return True


def _digest(options: VllmOptions) -> str | None:
    """Return the weights' commit on the hub, or `None` for a folder."""
    commit = None if _folder(options).is_dir() else _commit(options)
    return f"commit:{commit}" if commit else None


def _folder(options: VllmOptions) -> Path:
    return Path(os.path.expandvars(options.weights)).expanduser().absolute()


def _commit(options: VllmOptions) -> str | None:
    """Return the commit of the revision, if it is in the hub's cache (huggingface_hub documents its layout)."""
    if _COMMIT.fullmatch(options.revision):
        return options.revision
    reference = _repository(options) / "refs" / options.revision
    return reference.read_text().strip() if reference.is_file() else None


def _repository(options: VllmOptions) -> Path:
    return _hub() / f"models--{options.weights.replace('/', '--')}"


def _hub() -> Path:
    """Return the hub's cache, by the variables that `huggingface_hub` reads."""
    return Path(os.environ.get("HF_HUB_CACHE") or _hugging_face() / "hub").expanduser().absolute()


def _hugging_face() -> Path:
    return Path(os.environ.get("HF_HOME") or _cache() / "huggingface").expanduser().absolute()


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser().absolute()
