"""`proctor` for its user: help, version, and clear errors instead of tracebacks for bad input."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from harness.commands.main import COMMANDS, main
from harness.packaged import cli_pins, harness_version, packaged_conf, requirements
from tests.support.project import ROOT


def test_without_arguments_it_prints_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    told = capsys.readouterr().out
    assert told.startswith("usage: proctor ")
    assert all(f"    {name} " in told for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_its_own_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exited:
        main([name, "--help"])
    assert exited.value.code == 0
    assert f"usage: proctor {name} " in capsys.readouterr().out


def test_a_reader_that_has_read_enough_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "stream.jsonl").write_text("{}\n")
    reads, writes = os.pipe()
    os.close(reads)
    command = [sys.executable, "-m", "harness", "decode", "claude", str(tmp_path / "stream.jsonl")]
    done = subprocess.run(command, cwd=ROOT, stdout=writes, stderr=subprocess.PIPE, check=False)
    os.close(writes)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, b"")


def test_the_version_is_the_projects_version(capsys: pytest.CaptureFixture[str]) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert harness_version() == version
    with pytest.raises(SystemExit) as exited:
        main(["--version"])
    assert exited.value.code == 0
    assert capsys.readouterr().out == f"proctor {version}\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nonesuch"], "invalid choice: 'nonesuch' (choose from"),
        (["decode", "nonesuch", "file"], "there is no backend 'nonesuch'; choose one of: claude, "),
        (["decode", "nolab.backends:BACKEND", "file"], "there is no module nolab: it is neither in "),
        (["decode", "harness.case:Case", "file"], "it must be an instance of a subclass of backends.base.Backend"),
        (["decode", "claude", "none.jsonl"], "none.jsonl: No such file or directory"),
        (["decode", "claude", "."], ".: Is a directory"),
        (["decode", "claude", "text", "--stderr", "none"], "none: No such file or directory"),
        (["decode", "claude", "text", "--exit-code", "x"], "argument --exit-code: invalid int value: 'x'"),
        (["report"], "the following arguments are required: RUN"),
        (["report", "none"], "none: no such run: name a run's folder"),
        (["report", "text"], "text:1: not a record"),
        (["merge", "none"], "none: no such run: name a run's folder"),
        (["init", "text"], "text/conf/suite: Not a directory"),
        (["setup", "surplus"], "unrecognized arguments: surplus"),
        (["doctor", "surplus"], "unrecognized arguments: surplus"),
    ],
)
def test_bad_input_gets_a_clear_error(tmp_path: Path, arguments: list[str], told: str) -> None:
    (tmp_path / "text").write_text("no record\n")
    ran = subprocess.run(
        [sys.executable, "-m", "harness", *arguments],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 2
    assert told in ran.stderr
    assert "Traceback" not in ran.stderr
    assert ran.stdout == ""


def test_a_closed_standard_input_gets_a_clear_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(SystemExit) as exited:
        main(["decode", "claude", "-"])
    assert exited.value.code == 2
    assert "standard input is closed" in capsys.readouterr().err


def test_a_command_imports_only_what_it_needs() -> None:
    program = (
        "import sys\n"
        "from harness.commands.main import main\n"
        "main([])\n"
        "heavy = {'harness.commands.doctor', 'harness.commands.setup', 'numpy', 'hydra', 'starlette'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def test_a_checkout_finds_its_packaged_files() -> None:
    assert packaged_conf() == ROOT / "conf"
    assert cli_pins() == ROOT / "backends/cli"
    assert requirements("local") == ROOT / "requirements/local.txt"
