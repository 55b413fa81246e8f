"""OLLAMA_HOST: what it means, and that doctor, the cases and the fixture agree on the server there."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.commands.doctor import Finding, examine
from harness.endings import ConfError
from harness.servers.base import ServerMissing
from harness.servers.ollama import find_ollama
from harness.servers.ollama_host import running, server_url
from tests.support.serving import Machine

ADDRESS = re.compile(r"https?://([\w.-]+|\[[0-9a-f:.]+(%[\w.-]+)?\]):\d+(/.*)?", re.DOTALL)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("", "http://127.0.0.1:11434"),
        ("example", "http://example:11434"),
        ("example:", "http://example:11434"),
        (":1234", "http://127.0.0.1:1234"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("0.0.0.0:1234", "http://127.0.0.1:1234"),
        ("http://example", "http://example:80"),
        ("https://example/path/", "https://example:443/path"),
        ("[::1]:99", "http://[::1]:99"),
        ("::1", "http://[::1]:11434"),
        ("[::]:99", "http://[::1]:99"),
        (' "example:1" ', "http://example:1"),
    ],
)
def test_it_means_the_same_as_for_ollama(host: str, url: str) -> None:
    assert server_url(host) == url


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("localhost:abc", "'abc' is not a port"),
        ("localhost:70000", "'70000' is not a port"),
        ("localhost:-1", "'-1' is not a port"),
        ("ftp://example", "ftp:// is not known"),
        ("a b:1", "'a b' is not the name of a host"),
        ("[nonsense]:1", "nonsense"),
    ],
)
def test_a_wrong_address_is_a_clear_error(host: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", host)
    with pytest.raises(ConfError, match=rf"^the environment variable OLLAMA_HOST={re.escape(host)}: .*{said}"):
        find_ollama()
    finding = finding_of_doctor()
    assert not finding.ok
    assert said in finding.detail


def test_an_address_with_a_password_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "http://user:secret@127.0.0.1:11434")
    with pytest.raises(ConfError, match="without a user name or a password") as refused:
        running()
    assert "secret" not in str(refused.value)


@given(st.text(st.characters(codec="ascii"), max_size=30) | st.from_regex(r"(https?://)?[\[\]:.0-9a-f]*(/x)?"))
def test_any_text_gives_an_address_or_a_clear_error(host: str) -> None:
    with contextlib.suppress(ValueError):
        url = server_url(host)
        assert ADDRESS.fullmatch(url), url


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


def without_binary(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.servers.ollama.shutil.which", lambda _: None)


def finding_of_doctor() -> Finding:
    return next(finding for finding in examine() if finding.name == "ollama")  # the later checks take long


def doctor() -> str:
    finding = finding_of_doctor()
    return ("ok " if finding.ok else "- ") + finding.detail


def test_a_server_that_the_variable_names_is_used_by_all(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    with machine.acquire(name="user", parallel=9) as user:
        monkeypatch.setenv("OLLAMA_HOST", user.url)
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
        assert find_ollama().url == user.url
        with machine.acquire() as lease:
            assert (lease.url, lease.folder) == (user.url, None)
        assert doctor() == f"ok 0.33.0 answers at {user.url}: cases use this server and its models"
        with pytest.raises(
            ServerMissing, match=rf"Ollama at {user.url} has no model x: run `OLLAMA_HOST={user.url} ollama"
        ):
            machine.acquire(served_as="x")


def test_a_server_at_the_default_address_is_used_by_all_if_there_is_no_binary(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with machine.acquire(name="user", parallel=9) as user:
        default = machine_default(monkeypatch, user.url)
        assert f"answers at {default}: cases use that server and its models with OLLAMA_HOST={default}" in doctor()
        with machine.acquire() as lease:
            assert lease.url != user.url, "Proctor starts its own"
        with pytest.raises(ServerMissing, match=f"pull x` fills the store of the server at {default}, which cases use"):
            machine.acquire(served_as="x")
        without_binary(monkeypatch)
        assert doctor() == f"ok 0.33.0 answers at {default}: cases use this server and its models"
        with machine.acquire() as lease:
            assert lease.url == user.url


def machine_default(monkeypatch: pytest.MonkeyPatch, url: str) -> str:
    """Make this the default address."""
    monkeypatch.delenv("OLLAMA_HOST", raising=False)
    monkeypatch.setattr("harness.servers.ollama_host.host_url", lambda: url)
    return url


def test_without_server_and_binary_all_say_the_same(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:1")
    without_binary(monkeypatch)
    said = "no Ollama: nothing answers at http://127.0.0.1:1 and there is no `ollama` on PATH; install it from"
    assert doctor().startswith(f"- {said}")
    with pytest.raises(ServerMissing, match=re.escape(said)):
        machine.acquire()


def test_a_model_that_is_missing_is_named_with_what_fills_its_store(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:1")
    assert running() is None
    store = machine.ollama.models
    with pytest.raises(ServerMissing) as missing:
        machine.acquire(served_as="x")
    assert str(missing.value) == (
        f"Ollama has no model x in {store}, the store of the servers that Proctor starts: set "
        f"provider.ollama.options.pull=true, or run `ollama pull x` while `OLLAMA_MODELS={store} ollama serve` runs"
    )


def variables(machine: Machine) -> dict[str, str]:
    """Return the environment variables of the newest server."""
    return psutil.Process(machine.ollama.events("start")[-1]["pid"]).environ()


def test_its_options_reach_the_server(machine: Machine) -> None:
    with machine.acquire(parallel=3):
        plain = variables(machine)
    options = {"keep_alive": "1h", "num_parallel": 2, "flash_attention": True}
    with machine.acquire(server=options):
        chosen = variables(machine)
    names = ("OLLAMA_KEEP_ALIVE", "OLLAMA_NUM_PARALLEL", "OLLAMA_FLASH_ATTENTION")
    assert [plain.get(name) for name in names] == ["5m", "3", None]
    assert [chosen.get(name) for name in names] == ["1h", "2", "1"]
