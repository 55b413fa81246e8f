"""Each way to install a CLI: where its executable and its version are, and the error if it is missing."""

from __future__ import annotations

import json
import venv
from pathlib import Path

import pytest
from msgspec.structs import replace

from backends.base import Backend, Installation, NpmPackage, OnPath, PipPackage
from backends.registry import backend
from harness.agent import cli
from harness.agent.cli import Cli, CliMissing, find_cli, given_cli, pinned_folder, pinned_version
from harness.case import SandboxConf
from harness.case_folder import CaseFolder
from harness.commands.installing.clis import DEFAULT
from harness.commands.installing.start import require_start
from harness.sandbox.dirs import SandboxDirs
from harness.sandbox.factory import make_sandbox
from harness.sandbox.paths import program_paths
from harness.seed_key import VARIABLE

NPM = NpmPackage(package="@mylab/agent", executable="agent", licence="MIT", megabytes=1)
PIP = PipPackage(package="mylab-agent", executable="agent", licence="MIT", megabytes=1)
BINARY = OnPath(executable="agent", how_to_install="see https://example.org/agent")


def installed_as(installation: Installation) -> Backend:
    kind = type(backend("pi"))
    return type("Fifth", (kind,), {"name": "fifth", "installation": installation})()  # type: ignore[no-any-return]


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_an_npm_package_has_its_version_in_its_manifest(tmp_path: Path) -> None:
    with pytest.raises(CliMissing, match=r"agent \(@mylab/agent\) is not installed, and backends/cli/ does not pin it"):
        find_cli(installed_as(NPM), tmp_path)
    modules = tmp_path / "agent/node_modules"
    executable = write(modules / ".bin/agent", "")
    write(modules / "@mylab/agent/package.json", json.dumps({"version": "1.2.3"}))
    assert find_cli(installed_as(NPM), tmp_path) == Cli(executable, "1.2.3")
    node = write(modules / ".bin/node", "")
    assert find_cli(installed_as(NPM), tmp_path).runner == (str(node),)


def test_a_cli_unpacks_itself_where_every_session_reads_it(tmp_path: Path) -> None:
    modules = tmp_path / "agent/node_modules"
    write(modules / ".bin/agent", "#!/bin/sh\nmkdir -p $AGENT_CACHE && echo rest > $AGENT_CACHE/rest && echo 1.2.3\n")
    write(modules / "@mylab/agent/package.json", json.dumps({"version": "1.2.3"}))
    found = find_cli(installed_as(replace(NPM, cache="AGENT_CACHE")), tmp_path)
    require_start(found, "agent")
    (unpacked,) = (Path(folder, "rest") for folder in found.environment.values())
    assert unpacked.stat().st_mode & 0o004, "a sealed user can read it"
    sandbox = SandboxDirs(
        make_sandbox(SandboxConf("bubblewrap", "bubblewrap")),
        CaseFolder(tmp_path / "case"),
        program_paths(found.executable),
    )
    assert sandbox.run(["cat", str(unpacked)]).stdout == b"rest\n"
    assert sandbox.run(["touch", str(unpacked)]).exit_code != 0, "no session can change it"


def test_a_pip_package_runs_sealed_from_its_own_virtual_environment(tmp_path: Path) -> None:
    with pytest.raises(CliMissing, match=r"agent \(mylab-agent\) is not installed"):
        find_cli(installed_as(PIP), tmp_path)
    own = tmp_path / "agent"
    venv.create(own, symlinks=True)
    (site,) = own.glob("lib/python*/site-packages")
    write(site / "mylab_agent-4.5.dist-info/METADATA", "Metadata-Version: 2.1\nName: mylab-agent\nVersion: 4.5\n")
    write(site / "mylab_agent.py", "print('at work')\n")
    write(own / "bin/agent", f"#!{own}/bin/python\nimport mylab_agent\n")
    found = find_cli(installed_as(PIP), tmp_path)
    assert found == Cli(own / "bin/agent", "4.5")
    sandbox = make_sandbox(SandboxConf("bubblewrap", "bubblewrap"))
    dirs = SandboxDirs(sandbox, CaseFolder(tmp_path / "session"), program_paths(found.executable))
    ran = dirs.run([str(found.executable)])
    assert (ran.exit_code, ran.stdout) == (0, b"at work\n"), ran.stderr


def test_a_binary_on_path_prints_its_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(CliMissing, match=r"agent is not on PATH: see https://example\.org/agent"):
        find_cli(installed_as(BINARY))
    executable = write(tmp_path / "agent", "#!/bin/sh\necho agent version v2.0.1-beta\n")
    assert find_cli(installed_as(BINARY)) == Cli(executable, "2.0.1-beta")
    write(executable, "#!/bin/sh\necho nothing of use >&2; exit 3\n")
    with pytest.raises(CliMissing, match=r"agent --version` tells no version: it exited with code 3"):
        find_cli(installed_as(BINARY))
    write(executable, "#!/no/such/interpreter\n")
    with pytest.raises(CliMissing, match=r"tells no version: .*No such file"):
        find_cli(installed_as(BINARY))


@pytest.mark.parametrize("installation", [NPM, PIP, BINARY])
def test_a_cli_at_a_given_path_prints_its_version(tmp_path: Path, installation: Installation) -> None:
    executable = write(tmp_path / "my agent", "#!/bin/sh\necho 3.1.4 $1\n")
    assert given_cli(installed_as(installation), executable) == Cli(executable, "3.1.4", given=True)
    write(executable, "#!/bin/sh\nexit 3\n")
    with pytest.raises(CliMissing, match="my agent --version` tells no version: it exited with code 3"):
        given_cli(installed_as(installation), executable)


@pytest.mark.parametrize("name", DEFAULT)
def test_the_pinned_version_is_installed(name: str) -> None:
    pinned = pinned_version(backend(name).installation)
    assert pinned in {None, find_cli(backend(name)).version}


def test_a_pip_package_is_pinned_by_its_requirements_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["click==8.1 \\", "    --hash=sha256:00", "mylab-agent==4.5 \\", "    --hash=sha256:11"]
    pins = write(tmp_path / "agent/requirements.txt", "\n".join(lines))
    monkeypatch.setattr(cli, "cli_pins", lambda: tmp_path)
    assert pinned_version(PIP) == "4.5"
    with pytest.raises(CliMissing, match="is not installed: run `proctor setup --backend agent`"):
        find_cli(installed_as(PIP))
    here = pinned_folder(PIP)
    pins.write_text("mylab-agent==4.6\n")
    assert pinned_folder(PIP) != here, "another pin needs another installation"
    assert pinned_version(NPM) is None
    assert pinned_version(BINARY) is None


def test_a_cli_that_is_asked_for_its_version_does_not_see_the_private_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "7")
    executable = write(tmp_path / "agent", f"#!/bin/sh\necho 1.${{{VARIABLE}:-0}}\n")
    assert given_cli(installed_as(BINARY), executable).version == "1.0"
