"""Ollama: finding a server or a binary, and Ollama as a kind of server."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from filelock import FileLock
from msgspec import Struct, field

from harness.bounds import Count, Seconds
from harness.case import ModelConf, ProviderConf
from harness.endings import ConfError
from harness.servers.base import Facts, Launch, Progress, ServerFault, ServerKind, ServerMissing
from harness.servers.leases import Leases
from harness.servers.ollama_api import ApiError, Loaded, OllamaApi, Pulled
from harness.servers.ollama_host import VARIABLE, RunningOllama, host_url, running, server_url
from harness.servers.options import options_of

_PROXIES: Final = ("HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy", "SSL_CERT_FILE")
_MESSAGES: Final = "/v1/messages"
_SINCE: Final = {(0, 13, 5): "the allocated context in /api/ps", (0, 14, 0): _MESSAGES}
_CUT: Final = re.compile(r'msg="truncating input prompt" limit=(\d+) prompt=(\d+)')


class OllamaMissing(Exception):
    """There is neither a server nor a binary. The message says where Proctor looked, and how to get one."""


class Ollama(Struct, frozen=True):
    """What was found: a running server, by its `url` and `version`, and the `binary`."""

    url: str | None = None
    version: str | None = None
    binary: Path | None = None


def find_ollama() -> Ollama:
    """Return the server at OLLAMA_HOST (default 127.0.0.1:11434) if it answers, or else the `ollama` on PATH.

    Raise `OllamaMissing` if there is neither, and `ConfError` if OLLAMA_HOST is not an address.
    """
    found, binary = running(), shutil.which("ollama")
    if found is None and binary is None:
        raise OllamaMissing(no_ollama("ollama"))
    return Ollama(
        url=found.url if found else None,
        version=found.version if found else None,
        binary=Path(binary) if binary else None,
    )


def no_ollama(executable: str) -> str:
    """Return why there is no Ollama, and how to get it."""
    return (
        f"no Ollama: nothing answers at {host_url()} and there is no `{executable}` on PATH; "
        f"install it from ollama.com/download, or set {VARIABLE} to a running server"
    )


def chosen_server(executable: str = "ollama") -> RunningOllama | None:
    """Return the running server that cases use, or `None` if Proctor starts its own.

    It is the one at OLLAMA_HOST, if that is set. It is the one at the default address only if there is no `executable`.
    """
    found = running()
    return found if found and (found.named or shutil.which(executable) is None) else None


class OllamaOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The options of kind `ollama`, in `provider.options` and `model.server`.

    `executable` is Ollama's name on PATH, or its path. `pull` fetches a model that is missing. `models` is the folder
    of the models (`None`: OLLAMA_MODELS, else ~/.ollama/models). `keep_alive` is how long an idle model stays loaded
    (-1: always). `num_parallel` is how many requests the server answers at a time (`None`: the model's `parallel`).
    `flash_attention` turns flash attention on or off (`None`: as Ollama chooses). `start_s` and `load_s` are the
    seconds that the server may take to answer and to load the model.
    `variables` are further environment variables of Ollama, such as OLLAMA_KV_CACHE_TYPE.
    """

    executable: str = "ollama"
    pull: bool = False
    models: str | None = None
    keep_alive: str = "5m"
    num_parallel: Count | None = None
    flash_attention: bool | None = None
    start_s: Seconds = 60.0
    load_s: Seconds = 600.0
    variables: dict[str, str] = field(default_factory=dict)


class OllamaServers:
    """Ollama as a kind of server (`ServerKind`)."""

    def start_s(self, model: ModelConf, provider: ProviderConf) -> float:
        """See `ServerKind`."""
        return options_of(OllamaOptions, model, provider).start_s

    def external_url(self, provider: ProviderConf) -> str | None:
        """See `ServerKind`."""
        if provider.base_url is None:
            options = options_of(OllamaOptions, ModelConf("any", provider.name), provider)
            found = chosen_server(options.executable)
            return found.url if found else None
        try:
            url = server_url(provider.base_url)
        except ValueError as error:
            raise ConfError(f"conf/provider/{provider.name}.yaml: base_url: {error}") from None
        if not self.healthy(url):
            raise ServerFault(
                f"no Ollama answers at {url} (conf/provider/{provider.name}.yaml: base_url); start it, or set "
                f"provider.{provider.name}.base_url=null to let Proctor start one"
            )
        return url

    def command(self, launch: Launch) -> Sequence[str]:
        """See `ServerKind`."""
        wanted = options_of(OllamaOptions, launch.model, launch.provider).executable
        found = shutil.which(wanted)
        if found is None:
            raise ServerMissing(no_ollama(wanted))
        return [found, "serve"]

    def environment(self, launch: Launch) -> dict[str, str]:
        """See `ServerKind`. All Ollama servers of this user share one folder of models, so none may prune it."""
        options = options_of(OllamaOptions, launch.model, launch.provider)
        return {
            **{name: os.environ[name] for name in _PROXIES if name in os.environ},
            "OLLAMA_HOST": f"127.0.0.1:{launch.port}",
            "OLLAMA_MODELS": str(_models(options)),
            "OLLAMA_NOPRUNE": "1",
            "OLLAMA_NO_CLOUD": "1",
            "OLLAMA_KEEP_ALIVE": options.keep_alive,
            "OLLAMA_LOAD_TIMEOUT": f"{options.load_s:g}s",
            "OLLAMA_MAX_LOADED_MODELS": "1",
            "OLLAMA_CONTEXT_LENGTH": str(launch.model.context),
            "OLLAMA_NUM_PARALLEL": str(options.num_parallel or launch.model.parallel),
            **_flash_attention(options),
            **options.variables,
        }

    def healthy(self, url: str) -> bool:
        """See `ServerKind`. Ollama listens before it serves, so only an answer counts."""
        try:
            OllamaApi(url).version()
        except ApiError:
            return False
        return True

    def prepare(self, url: str, model: ModelConf, provider: ProviderConf, progress: Progress) -> None:
        """See `ServerKind`."""
        options, name, api = options_of(OllamaOptions, model, provider), model.asked_as, OllamaApi(url)
        with _as_fault(f"{url}: {name}"):
            _require_version(api, provider)
            if api.model(name) is None:
                _fetch(api, name, provider, options, progress)
            capabilities = api.show(name).capabilities
            if "tools" not in capabilities:
                raise ServerFault(
                    f"model {name} cannot call tools, so no agent can work with it; Ollama lists these capabilities: "
                    f"{', '.join(capabilities) or 'none'}"
                )
            api.preload(name, options.load_s)

    def inspect(self, url: str, model: ModelConf, provider: ProviderConf) -> Facts:  # noqa: ARG002 - the contract of ServerKind
        """See `ServerKind`. Checks the weights, the context, and that the model is on the GPUs."""
        api, name = OllamaApi(url), model.asked_as
        with _as_fault(f"{url}: {name}"):
            found, loaded = api.model(name), api.loaded(name)
            if found is None or loaded is None:
                raise ServerFault(f"{url} no longer has model {name} loaded")
            if model.digest is not None and not _same_digest(found.digest, model.digest):
                raise ServerFault(
                    f"model {name} has digest sha256:{found.digest}, but conf/model/{model.name}.yaml pins "
                    f"{model.digest}"
                )
            if loaded.context_length < model.context:
                raise ServerFault(_too_short(name, loaded, model, api.show(name).context))
            if model.gpus > 0 and loaded.size_vram < loaded.size:
                raise ServerFault(_off_gpu(name, loaded))
            return Facts(version=api.version(), digest=f"sha256:{found.digest}", context=loaded.context_length)

    def metrics(self, url: str) -> Mapping[str, float]:  # noqa: ARG002 - the contract of ServerKind
        """See `ServerKind`. Ollama has no counters."""
        return {}

    def warnings(self, log: str) -> list[str]:
        """See `ServerKind`. Looks for prompts that were cut: the agent then forgets its task."""
        cuts: dict[str, list[int]] = {}
        for match in _CUT.finditer(log):
            limit, prompt = match.groups()
            cuts.setdefault(limit, []).append(int(prompt))
        return [_cut(limit, prompts) for limit, prompts in cuts.items()]


class BareOllama(OllamaServers):
    """A server without a model, for tests that load their own models."""

    def prepare(self, url: str, model: ModelConf, provider: ProviderConf, progress: Progress) -> None:  # noqa: ARG002 - the contract of ServerKind
        """Check the server's version, without loading a model."""
        with _as_fault(url):
            _require_version(OllamaApi(url), provider)

    def inspect(self, url: str, model: ModelConf, provider: ProviderConf) -> Facts:  # noqa: ARG002 - the contract of ServerKind
        """Return the server's version, because nothing else is known."""
        with _as_fault(url):
            return Facts(version=OllamaApi(url).version())


KIND: ServerKind = OllamaServers()
BARE: ServerKind = BareOllama()


@contextmanager
def _as_fault(what: str) -> Iterator[None]:
    """Turn an error of the API into a `ServerFault` about `what`."""
    try:
        yield
    except ApiError as error:
        status = f"status {error.status}: " if error.status not in {0, 200} else ""
        raise ServerFault(f"{what}: {status}{error}") from error


def _models(options: OllamaOptions) -> Path:
    chosen = options.models or os.environ.get("OLLAMA_MODELS") or "~/.ollama/models"
    return Path(chosen).expanduser().resolve()


def _flash_attention(options: OllamaOptions) -> dict[str, str]:
    chosen = options.flash_attention
    return {} if chosen is None else {"OLLAMA_FLASH_ATTENTION": str(int(chosen))}


def _require_version(api: OllamaApi, provider: ProviderConf) -> None:
    """Raise `ServerMissing` for a version that is too old. A version without numbers is a private build, and passes."""
    version = api.version()
    match = re.match(r"(\d+)\.(\d+)\.(\d+)", version)
    numbers = tuple(map(int, match.groups())) if match else (0, 0, 0)
    if numbers == (0, 0, 0):
        return
    for least, what in _SINCE.items():
        if numbers < least and (what != _MESSAGES or "anthropic_messages" in provider.wires):
            wanted = ".".join(map(str, least))
            raise ServerMissing(f"Ollama {version} at {api.url} is too old: {what} needs {wanted} or later; update it")


def _fetch(api: OllamaApi, name: str, provider: ProviderConf, options: OllamaOptions, progress: Progress) -> None:
    """Pull the model. Only one process of this user pulls at a time. Raise `ServerMissing` if `pull` is off."""
    if not options.pull:
        raise ServerMissing(_how_to_get(api, name, provider, options))
    progress(f"pulling {name}")
    with FileLock(Leases().folder / "pull.lock"):
        if api.model(name) is not None:
            return
        layers: dict[str, Pulled] = {}
        for line in api.pull(name):
            if line.digest:
                layers[line.digest] = line
            progress(_pull_bar(name, line.status, layers.values()))


def _how_to_get(api: OllamaApi, name: str, provider: ProviderConf, options: OllamaOptions) -> str:
    """Return that the model is missing, and what fills the store of the server at `api.url`.

    `ollama pull` fills the store of the server that it asks, the one at OLLAMA_HOST.
    """
    by_option = f"set provider.{provider.name}.options.pull=true"
    if provider.base_url or chosen_server(options.executable):
        return f"Ollama at {api.url} has no model {name}: run `{VARIABLE}={api.url} ollama pull {name}`, or {by_option}"
    store, other = _models(options), running()
    said = f"Ollama has no model {name} in {store}, the store of the servers that Proctor starts: {by_option}"
    if other:
        return (
            f"{said}; `ollama pull {name}` fills the store of the server at {other.url}, which cases use with "
            f"provider.{provider.name}.base_url={other.url}"
        )
    return f"{said}, or run `ollama pull {name}` while `OLLAMA_MODELS={store} ollama serve` runs"


def _pull_bar(name: str, status: str, layers: Collection[Pulled]) -> str:
    total, done = sum(layer.total for layer in layers), sum(layer.completed for layer in layers)
    if not total:
        return f"pulling {name}: {status}"
    filled = "#" * (20 * done // total)
    return f"pulling {name} [{filled:20}] {100 * done // total} %, {done / 1e9:.1f} of {total / 1e9:.1f} GB"


def _same_digest(found: str, pinned: str) -> bool:
    """Return whether the digest is the pinned one. The first 12 digits are enough, as `ollama list` shows them."""
    digits = pinned.removeprefix("sha256:")
    return len(digits) >= 12 and found.startswith(digits)


def _cut(limit: str, prompts: list[int]) -> str:
    """Return one line about all cuts to one limit, because an agent's prompt grows with each turn."""
    which = f"{len(prompts)} prompts of up to {max(prompts)}" if len(prompts) > 1 else f"a prompt of {prompts[0]}"
    return f"Ollama cut {which} tokens to the {limit} that fit"


def _too_short(name: str, loaded: Loaded, model: ModelConf, trained: int | None) -> str:
    if trained is not None and trained < model.context:
        why = f"the model itself takes no more than {trained}: lower context in conf/model/{model.name}.yaml"
    else:
        why = (
            f"a server that you run yourself must be started with OLLAMA_CONTEXT_LENGTH={model.context}, and the model "
            "must not set num_ctx"
        )
    return f"Ollama gave {name} a context of {loaded.context_length} tokens, not the configured {model.context}; {why}"


def _off_gpu(name: str, loaded: Loaded) -> str:
    share = 100 * loaded.size_vram // loaded.size
    return (
        f"only {share} % of model {name} ({loaded.size / 1e9:.1f} GB with its context) are on the GPU, which makes it "
        "many times slower: give it more GPUs (gpus) or less context, or set gpus: 0 to run it on the CPU"
    )
