"""The wheel as a user installs it: in a new virtual environment, an empty folder and an empty home.

To be quick, the first test reuses two parts of this machine through hard links: the packages that Proctor depends on,
and the CLIs that `proctor setup` has installed for this user. The wheel, the environment, the home and the project are
new. The nightly test reuses nothing: pip and npm download everything.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from backends.base import NpmPackage
from backends.registry import backend
from harness.agent.cli import pinned_folder
from harness.commands.installing.clis import DEFAULT
from harness.packaged import harness_version
from harness.page.library_files import libraries_folder
from harness.results.store import read
from tests.support.project import ROOT

pytestmark = pytest.mark.xdist_group("wheel")

SHIPPED = {
    "proctor.py",
    "backends/cli/claude/package.json",
    "backends/cli/claude/package-lock.json",
    "harness/conf/config.yaml",
    "harness/conf/suite/default.yaml",
    "harness/conf/scripts/small_maze.yaml",
    "harness/page/assets/page.html.j2",
    "harness/page/assets/style.css",
    "harness/page/assets/app.js",
    "harness/page/libraries/package-lock.json",
    "harness/requirements/kinder.txt",
    "harness/requirements/local.txt",
    "harness/requirements/translate.txt",
    "harness/sandbox/seccomp/x86_64.bpf",
    "harness/sandbox/seccomp/aarch64.bpf",
}
_PACKAGES = [one for name in DEFAULT if isinstance(one := backend(name).installation, NpmPackage)]
PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")


class User:
    """A user with an empty home, who has installed Proctor in a virtual environment and works in an empty folder."""

    def __init__(self, folder: Path) -> None:
        self.environment = folder / "venv"
        self.home = folder / "home"
        self.project = folder / "project"
        venv.create(self.environment, symlinks=True)
        self.home.mkdir(0o700)
        self.project.mkdir()
        self.packages = next(self.environment.glob("lib/python*/site-packages"))

    def run(self, *command: str) -> str:
        """Run a command in the project to its end. Check that it succeeds, and return its output."""
        kept = ("LANG", "PIP_", "SSL_")
        variables = {name: value for name, value in os.environ.items() if name.startswith(kept)}
        path = f"{self.environment / 'bin'}:{os.environ['PATH']}"
        ran = subprocess.run(
            [str(self.environment / "bin" / command[0]), *command[1:]],
            cwd=self.project,
            env=variables | {"HOME": str(self.home), "PATH": path},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, f"{command}\n{ran.stdout}\n{ran.stderr}"
        return ran.stdout

    def passes_at_once(self) -> None:
        """Check that a new project's cases pass with nothing but the installed Proctor."""
        assert self.run("proctor", "--version") == f"proctor {harness_version()}\n"
        self.run("proctor", "init")
        self.run("pytest")
        records = read(self.project / "runs/latest/results.jsonl")
        assert {record.case.id: record.outcome for record in records} == {
            "claude-scripted-small_maze": "passed",
            "opencode-scripted-small_maze": "passed",
        }
        assert self.run("proctor", "report", "runs/latest").count("passed") == 2
        self.run("proctor", "export", "last", "--csv", "results.csv")
        assert len((self.project / "results.csv").read_text().splitlines()) == 3
        place = self.run("python", "-c", "import proctor; print(proctor.__file__)").strip()
        assert Path(place).is_relative_to(self.environment)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [*PIP, "wheel", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT)],
        check=True,
    )
    [wheel] = folder.glob("*.whl")
    return wheel


@pytest.fixture
def user(tmp_path: Path) -> User:
    return User(tmp_path)


def install(wheel: Path, user: User, *arguments: str) -> None:
    subprocess.run([*PIP, "--python", str(user.environment / "bin/python"), "install", *arguments, wheel], check=True)


def reuse_packages(user: User) -> None:
    """Give the user the packages of this environment except Proctor, and the `pytest` script."""
    here = Path(sysconfig.get_path("purelib"))
    shutil.copytree(
        here,
        user.packages,
        symlinks=True,
        copy_function=link,
        ignore=shutil.ignore_patterns("*proctor*"),
        dirs_exist_ok=True,
    )
    script = user.environment / "bin/pytest"
    _, _, body = Path(sys.executable).with_name("pytest").read_text().partition("\n")
    script.write_text(f"#!{user.environment / 'bin/python'}\n{body}")
    script.chmod(0o755)


def reuse_clis(user: User) -> None:
    """Give the user the CLIs that are installed for the user who runs this test."""
    for installed in (*map(pinned_folder, _PACKAGES), libraries_folder()):
        here = user.home / ".cache/proctor" / installed.parent.name / installed.name
        shutil.copytree(installed, here, symlinks=True, copy_function=link)


def test_the_wheel_has_exactly_the_files_that_the_code_reads(wheel: Path, user: User) -> None:
    install(wheel, user, "--no-deps", "--no-index")
    top = {path.name.partition("-")[0] for path in user.packages.iterdir()}
    assert top == {"harness", "backends", "proctor", "proctor.py", "__pycache__"}
    files = {str(path.relative_to(user.packages)) for path in user.packages.rglob("*") if path.is_file()}
    assert files >= SHIPPED
    assert not any("node_modules" in name for name in files)
    sources = (path.relative_to(ROOT) for name in ("harness", "backends") for path in (ROOT / name).rglob("*.py"))
    shipped = {path for path in sources if not {"node_modules", "cli-latest"} & {*path.parts}}
    assert {name for name in files if name.endswith(".py")} == {"proctor.py", *map(str, shipped)}
    assert {name.removeprefix("harness/") for name in files if name.startswith("harness/conf/")} == {
        str(path.relative_to(ROOT)) for path in (ROOT / "conf").rglob("*") if path.is_file()
    }


def test_a_new_project_passes_at_once(wheel: Path, user: User) -> None:
    reuse_packages(user)
    install(wheel, user, "--no-deps", "--no-index")
    reuse_clis(user)
    assert "Installing" not in user.run("proctor", "setup")
    user.passes_at_once()


@pytest.mark.nightly
def test_a_new_project_passes_at_once_with_nothing_reused(wheel: Path, user: User) -> None:
    install(wheel, user)
    assert "Installing" in user.run("proctor", "setup")
    user.passes_at_once()


@pytest.mark.nightly
def test_the_extra_kinder_brings_its_environments(wheel: Path, user: User) -> None:
    install(wheel, user)
    user.run("python", "-m", "ensurepip")
    reuse_clis(user)
    user.run("proctor", "setup", "--extra", "kinder")
    user.run("proctor", "init")
    user.run("pytest", "--set", "suite.environments=[motion2d_easy]", "--require-all", "-k", "claude")


def link(source: str, target: str) -> None:
    """Hard-link a file. Copy it if a link is impossible, for example between file systems."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)
