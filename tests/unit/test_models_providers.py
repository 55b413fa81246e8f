"""The table of provider kinds, and the keys of providers."""

from __future__ import annotations

import subprocess
import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest

from harness.case import LOCAL_KINDS, ProviderConf, ProviderKind
from harness.commands import doctor
from harness.gateway.credential import Credential, CredentialMissing
from harness.models.providers import PROVIDERS
from harness.servers.kinds import kind_of
from tests.support.project import ROOT

KEY = "sk-host-0123456789"


def test_the_table_has_every_kind_that_the_configuration_accepts() -> None:
    assert set(PROVIDERS) == set(get_args(ProviderKind))
    assert set(LOCAL_KINDS) < set(PROVIDERS)
    for kind in LOCAL_KINDS:
        assert kind_of(ProviderConf("x", kind, [])), "each of them serves models on this machine"


def test_reading_the_table_imports_nothing_that_only_a_case_needs() -> None:
    program = (
        "import sys, harness.models.providers\n"
        "print(sorted({'httpx2', 'starlette', 'numpy', 'hydra', 'harness.gateway.forward'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("header", "value"), [("authorization", f"Bearer {KEY}"), ("Authorization", f"Bearer {KEY}"), ("x-api-key", KEY)]
)
def test_a_key_goes_into_its_header(monkeypatch: pytest.MonkeyPatch, header: str, value: str) -> None:
    monkeypatch.setenv("A_KEY", f" {KEY}\n")
    credential = Credential.of(ProviderConf("x", "remote", [], key_variable="A_KEY", key_header=header))
    assert credential.headers == {header: value}


def test_a_key_appears_nowhere_else() -> None:
    credential = Credential(KEY)
    assert KEY not in repr(credential)
    assert KEY not in f"{credential} {[credential]}"
    assert credential.hide(f"the key {KEY} is wrong".encode()) == b"the key [key] is wrong"


def test_a_provider_without_a_key_variable_sends_and_hides_nothing() -> None:
    credential = Credential.of(ProviderConf("x", "remote", []))
    assert credential.headers == {}
    assert credential.hide(b"as it was") == b"as it was"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "no key for provider x: set A_KEY"),
        (" \n", "no key for provider x: set A_KEY"),
        ("sk\nx-evil: 1", "no usable key for provider x: A_KEY holds a line break"),
        ("schlüssel", "no usable key for provider x: A_KEY holds a line break"),
    ],
)
def test_a_missing_or_invalid_key_is_named_by_its_variable(
    monkeypatch: pytest.MonkeyPatch, value: str | None, said: str
) -> None:
    monkeypatch.delenv("A_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("A_KEY", value)
    with pytest.raises(CredentialMissing) as missing:
        Credential.of(ProviderConf("x", "remote", [], key_variable="A_KEY"))
    assert str(missing.value).startswith(said)
    assert "evil" not in str(missing.value)


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """A function that returns what the doctor says about keys, in a project with its own provider."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # no engines, whose environments take seconds to draw
    conf = tmp_path / "conf/provider/ours.yaml"
    conf.parent.mkdir(parents=True)
    conf.write_text("name: ours\nkind: remote\nwires: []\nkey_variable: OUR_KEY\n")

    def say() -> str:
        doctor.run(Namespace())
        lines = capsys.readouterr().out.splitlines()
        return "\n".join(line for line in lines if "key of" in line or "providers" in line)

    return say


def test_the_doctor_looks_for_the_key_of_every_provider_that_needs_one(
    told: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    monkeypatch.setenv("OUR_KEY", KEY)
    monkeypatch.setenv("CLAUDE_CODE_OAUTH_TOKEN", KEY)
    lines = {line.partition("key of ")[2].split()[0]: line for line in told().splitlines()}
    packaged = {path.stem for path in (ROOT / "conf/provider").glob("*.yaml")}
    assert set(lines) == packaged - {"scripted", "cassette", "ollama", "vllm", "llamacpp"} | {"ours"}
    assert lines["anthropic"].startswith("-  ")
    assert "set ANTHROPIC_API_KEY" in lines["anthropic"]
    assert lines["ours"].startswith("ok ")
    assert "set, in OUR_KEY" in lines["ours"]
    assert lines["claude_subscription"].startswith("ok ")
    assert KEY not in "".join(lines.values())


def test_the_doctor_names_a_provider_file_that_is_wrong(told: Callable[[], str], tmp_path: Path) -> None:
    (tmp_path / "conf/provider/ours.yaml").write_text("name: ours\n")
    assert "conf/provider/ours.yaml: provider.ours: " in told()
