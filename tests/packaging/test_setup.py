"""`proctor setup` installs the CLIs once, whole or not at all. For anything missing, it says what to run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, nullcontext
from importlib import metadata
from itertools import islice
from pathlib import Path

import psutil
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from backends.base import NpmPackage, PipPackage
from backends.registry import backend, names
from harness.agent.cli import CliMissing, find_cli, pinned_clis, pinned_folder
from harness.commands.doctor import examine
from harness.commands.errors import SetupFailed
from harness.commands.installing import bubblewrap, extras
from harness.commands.installing.clis import DEFAULT, pinned_backends
from harness.commands.main import main
from harness.environments.interpreters import INTERPRETERS
from harness.packaged import requirements
from harness.sandbox.probe import Capability
from tests.support.bare_machine import BareMachine
from tests.support.project import ROOT, kill_all, wait_until


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BareMachine:
    return BareMachine(tmp_path, monkeypatch)


def installed() -> bool:
    try:
        return bool([find_cli(backend(name)) for name in DEFAULT])
    except CliMissing:
        return False


def folder_of(name: str) -> Path:
    package = backend(name).installation
    assert isinstance(package, NpmPackage | PipPackage)
    return pinned_folder(package)


WHOLE = {folder_of(name).name for name in DEFAULT}
"""What a set-up leaves in the folder of the CLIs."""


@pytest.fixture
def start(machine: BareMachine) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a set-up in a separate process. Kill it at the end."""
    with ExitStack() as stack:

        def start(**variables: str) -> subprocess.Popen[str]:
            process = subprocess.Popen(
                [sys.executable, "-m", "harness", "setup"],
                cwd=ROOT,
                env=os.environ | variables,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        yield start


# The CLIs


def test_the_pinned_clis_are_installed_once(machine: BareMachine, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CliMissing, match=r"claude .*is not installed: run `proctor setup --backend claude`"):
        find_cli(backend("claude"))
    assert main(["setup"]) == 0
    assert installed()
    assert machine.left == WHOLE
    told = capsys.readouterr().out
    version = find_cli(backend("claude")).version
    assert f"Installing claude {version} (384 MB, proprietary: Anthropic's commercial terms) in {pinned_clis()}" in told
    assert f"claude {version}" in told
    assert main(["setup"]) == 0
    assert machine.npm_calls == len(DEFAULT)
    assert "Installing" not in capsys.readouterr().out


def test_the_cache_is_named_by_the_lock_and_is_in_the_users_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for given in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", given)
        assert folder_of("claude").parent == tmp_path / ".cache/proctor/clis"
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    here = folder_of("claude")
    assert here.parent == Path("/elsewhere/proctor/clis")
    lock = tmp_path / "package-lock.json"
    lock.write_text("{}")
    monkeypatch.setattr("harness.agent.cli.lock_of", lambda _package: lock)
    assert folder_of("claude") != here


def test_other_clis_are_installed_by_name_or_all_at_once(machine: BareMachine) -> None:
    assert main(["setup", "--backend", "pi"]) == 0
    assert machine.left == {folder_of("pi").name}
    assert main(["setup", "--backend", "all"]) == 0
    assert all(find_cli(backend(name)) for name in pinned_backends())
    assert machine.left == {folder_of(name).name for name in pinned_backends()}
    assert machine.npm_calls == sum(isinstance(backend(name).installation, NpmPackage) for name in pinned_backends())


def test_files_of_the_clis_can_be_read_by_a_sealed_user(machine: BareMachine) -> None:
    before = os.umask(0o077)
    try:
        assert main(["setup"]) == 0
    finally:
        os.umask(before)
    for path in pinned_clis().glob("*/node_modules/**/*"):
        assert path.stat().st_mode & 0o004, path


@pytest.mark.parametrize(
    ("does", "told"),
    [
        ("fail npm error code ECONNREFUSED", "the npm registry cannot be reached"),
        ("fail npm error code EAI_AGAIN", "the npm registry cannot be reached"),
        ("fail npm error code E404", "the npm registry refuses a package"),
        ("fail npm error code EINTEGRITY", "a package differs from the one in the lock"),
        ("fail npm error code ENOSPC", "the disk is full"),
        ("fail npm error something new", "npm error something new"),
        ("break", "does not start (status 1): no binary"),
    ],
)
def test_a_failed_installation_is_explained_and_leaves_nothing(
    machine: BareMachine, capsys: pytest.CaptureFixture[str], does: str, told: str
) -> None:
    machine.sets("NPM_DOES", does)
    assert main(["setup"]) == 1
    assert told in capsys.readouterr().err
    assert machine.left == set()
    machine.sets("NPM_DOES", "")
    assert main(["setup"]) == 0


def test_a_missing_or_old_node_is_reported(machine: BareMachine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.has("node", "echo v18.19.0")
    assert main(["setup"]) == 1
    assert f"{machine.bin / 'node'} is too old (v18.19.0): install Node.js 20 or newer" in capsys.readouterr().err
    machine.has_only("node")
    assert main(["setup"]) == 1
    assert "npm is not on PATH: install Node.js 20 or newer, with npm" in capsys.readouterr().err
    assert machine.npm_calls == 0


def test_an_unwritable_cache_is_reported(
    machine: BareMachine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    machine.sets("XDG_CACHE_HOME", tmp_path / "file")
    assert main(["setup"]) == 1
    assert "cannot install claude: " in (told := capsys.readouterr().err)
    assert "set XDG_CACHE_HOME to install elsewhere" in told


def test_two_simultaneous_setups_install_once(
    machine: BareMachine, start: Callable[..., subprocess.Popen[str]]
) -> None:
    started = [start(), start(), start()]
    told = [process.communicate()[0] for process in started]
    assert [process.returncode for process in started] == [0, 0, 0], told
    assert machine.npm_calls == len(DEFAULT)
    assert sum(text.count("Installing claude") for text in told) == 1
    assert machine.left == WHOLE


@pytest.mark.parametrize(("way", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_an_interrupted_setup_does_not_count_and_is_cleared_away(
    machine: BareMachine, start: Callable[..., subprocess.Popen[str]], way: signal.Signals, status: int
) -> None:
    process = start(NPM_DOES="hang")
    wait_until(lambda: len(list(pinned_clis().glob("*/*/node_modules/.bin/*"))) == 1, "npm's files")
    npm = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(way)
    assert process.wait() == status
    assert not installed()
    if way is signal.SIGKILL:  # npm survives, except for a child that ends by itself
        kill_all(npm)
    else:
        told = "\nproctor: interrupted\n" if way is signal.SIGINT else ""
        assert process.communicate()[0].endswith(told)
        assert machine.left == set()
        assert not any(map(psutil.Process.is_running, npm))
    assert main(["setup"]) == 0
    assert machine.left == WHOLE


def test_an_installation_that_lost_a_cli_is_rebuilt(machine: BareMachine) -> None:
    assert main(["setup"]) == 0
    find_cli(backend("claude")).executable.unlink()
    assert main(["setup"]) == 0
    assert installed()
    assert machine.npm_calls == len(DEFAULT) + 1


@pytest.mark.usefixtures("machine")
def test_the_doctor_needs_only_the_clis_that_a_set_up_installs() -> None:
    found = {finding.name: finding for finding in islice(examine(), 1 + len(names()))}
    assert {name for name in names() if found[f"cli {name}"].needed} == set(DEFAULT)
    assert found["cli pi"].detail.endswith("is not installed: run `proctor setup --backend pi`")


# bubblewrap


def test_every_step_is_tried_and_each_failure_is_reported(
    machine: BareMachine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.sets("NPM_DOES", "fail npm error code ENOTFOUND")
    machine.has("bwrap", "echo bubblewrap 0.8.0; exit 1")
    assert main(["setup"]) == 1
    told = capsys.readouterr().err
    assert "FAILED  cli claude" in told
    assert "FAILED  bubblewrap      bubblewrap 0.8.0 does not seal: " in told


@pytest.mark.parametrize(("version", "found"), [(None, "is not installed"), ("0.4.1", "is too old (0.4.1)")])
@pytest.mark.parametrize(
    ("root", "apt", "told"),
    [
        (False, True, "run `sudo apt-get install bubblewrap` (0.8 or later is needed)"),
        (True, False, "install version 0.8 or later with your system's package manager"),
        (True, True, "`apt-get update -qq` failed:\nno network"),
    ],
)
def test_the_error_for_missing_bubblewrap_says_how_to_get_it(
    machine: BareMachine,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    version: str | None,
    found: str,
    root: bool,
    apt: bool,
    told: str,
) -> None:
    machine.has_only()
    if version:
        machine.has("bwrap", f"echo bubblewrap {version}")
    if apt:
        machine.has("apt-get", "echo no network >&2; exit 100")
    monkeypatch.setattr(os, "geteuid", lambda: 0 if root else 1000)
    assert main(["setup"]) == 1
    error = capsys.readouterr().err
    assert f"bubblewrap {found}" in error
    assert told in error


@pytest.mark.parametrize(("newer", "told"), [("0.9.0", None), ("0.7.0", "but apt installed 0.7.0")])
def test_root_installs_bubblewrap_through_apt(
    machine: BareMachine, monkeypatch: pytest.MonkeyPatch, newer: str, told: str | None
) -> None:
    machine.has("bwrap", "echo bubblewrap 0.4.1")
    machine.has("apt-get", f"[ $1 = update ] || printf '#!/bin/sh\necho bubblewrap {newer}' > {machine.bin / 'bwrap'}")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(bubblewrap, "probe", lambda _sandbox: Capability(ok=True))
    said: list[str] = []
    with pytest.raises(SetupFailed, match=told) if told else nullcontext():
        assert bubblewrap.require(said.append) == newer
    assert said == ["bubblewrap is too old (0.4.1): installing it through apt"]


# Extras


def test_an_unknown_extra_names_the_choices(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exited:
        main(["setup", "--extra", "nonesuch"])
    assert exited.value.code == 2
    assert (
        f"invalid choice: 'nonesuch' (choose from {', '.join(map(repr, sorted(extras.EXTRAS | INTERPRETERS)))})"
        in capsys.readouterr().err
    )


class Extra:
    """An extra whose requirements file the test writes, and a pip that only records its arguments."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.file = folder / "extra.txt"
        self._log = folder / "pip.log"
        self._python = folder / "python"
        patch.setattr(extras, "requirements", lambda _extra: self.file)
        patch.setattr(sys, "executable", str(self._python))
        self.pip_returns(0)

    def pip_returns(self, status: int) -> None:
        self._python.write_text(f'#!/bin/sh\necho "$@" >> {self._log}\nexit {status}\n')
        self._python.chmod(0o755)

    def pins(self, *lines: str) -> None:
        self.file.write_text("".join(f"{line} \\\n    --hash=sha256:00\n" for line in lines))

    @property
    def pip_calls(self) -> list[str]:
        return self._log.read_text().splitlines() if self._log.exists() else []


@pytest.fixture
def extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Extra:
    return Extra(tmp_path, monkeypatch)


PRESENT = f"msgspec=={metadata.version('msgspec')}"


def test_an_installed_extra_is_not_installed_again(extra: Extra) -> None:
    extra.pins(PRESENT, "nonesuch==1.0 ; python_version < '3'")
    extras.install("local", print)
    assert extra.pip_calls == []


@pytest.mark.parametrize("missing", ["nonesuch==1.0", "pytest==1.0"])
def test_an_extra_is_installed_with_its_hashes(extra: Extra, missing: str) -> None:
    extra.pins(PRESENT, missing)
    extras.install("local", print)
    [call] = extra.pip_calls
    assert call.startswith("-m pip install ")
    assert f"--no-deps --require-hashes --requirement {extra.file}" in call
    extra.pip_returns(1)
    with pytest.raises(SetupFailed, match="pip could not install the extra local"):
        extras.install("local", print)


def test_the_error_for_an_environment_without_pip_says_how_to_continue(
    extra: Extra, monkeypatch: pytest.MonkeyPatch
) -> None:
    extra.pins("nonesuch==1.0")
    monkeypatch.setattr(extras, "find_spec", lambda _name: None)
    with pytest.raises(SetupFailed, match=r"pip is not in this environment .*-m ensurepip.*uv pip install"):
        extras.install("local", print)


def test_an_unsupported_python_for_an_extra_is_reported(extra: Extra) -> None:
    extra.pins("nonesuch==1.0 ; python_version < '3'")
    with pytest.raises(SetupFailed, match="the extra kinder has no packages for Python 3"):
        extras.install("kinder", print)


def test_no_extra_touches_what_proctor_itself_depends_on() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    own: set[str] = set()
    wanted = [Requirement(text) for text in project["dependencies"]]
    while wanted:
        requirement = wanted.pop()
        name: str = canonicalize_name(requirement.name)
        if name not in own and (requirement.marker is None or requirement.marker.evaluate({"extra": ""})):
            own.add(name)
            wanted += [Requirement(text) for text in metadata.requires(name) or ()]
    for name in extras.EXTRAS:
        lines = requirements(name).read_text().splitlines()
        added = {canonicalize_name(line.partition("==")[0]) for line in lines if "==" in line.partition(" ")[0]}
        assert added
        assert not added & own
