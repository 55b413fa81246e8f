"""docs/ci.md: everything that its recipes name exists, and their commands work as described.

The recipes themselves run at night: on the `smoke` suite and with two workers, since this machine may have no GPU.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.contracts.latest import REPORT
from tests.support.project import ROOT

DOCS = (ROOT / "docs/ci.md").read_text()
BLOCKS = [(kind, text) for kind, text in re.findall(r"```(\w+)\n(.*?)```", DOCS, re.DOTALL)]
WORKFLOWS = {str(flow["name"]): flow for kind, text in BLOCKS if kind == "yaml" for flow in [yaml.safe_load(text)]}

BASH = shutil.which("bash") or "bash"


def steps(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    [job] = workflow["jobs"].values()
    return list(job["steps"])


def commands() -> list[str]:
    """Return every command line of the recipes, each as one text."""
    runs = [step["run"] for flow in WORKFLOWS.values() for step in steps(flow) if "run" in step]
    return [*runs, *(text for kind, text in BLOCKS if kind == "bash")]


def called(pattern: str) -> list[str]:
    """Return what follows this program in each command, up to the command's end."""
    return [rest for text in commands() for rest in re.findall(rf"{pattern}\s+([^|\n>]*)", text)]


def options(text: str) -> set[str]:
    return set(re.findall(r"(?<=[\s\[(,=\"'])--[a-z][a-z-]*", f" {text}"))


def test_the_recipes_are_complete() -> None:
    assert set(WORKFLOWS) == {"pr", "nightly", "newest"}
    for flow in WORKFLOWS.values():
        assert flow[True], "it says when it runs; YAML 1.1 reads `on` as true"
        for step in steps(flow):
            assert ("run" in step) != ("uses" in step)
            assert re.fullmatch(r"actions/[\w/-]+@v\d+", step.get("uses", "actions/x@v1"))
        ids = {step.get("id") for step in steps(flow)}
        assert set(re.findall(r"steps\.(\w+)\.", str(flow))) <= ids


@pytest.mark.parametrize("text", commands())
def test_bash_accepts_the_script(text: str) -> None:
    checked = subprocess.run([BASH, "-n"], input=text, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr


def test_the_suites_targets_and_options_exist() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {rest.split()[0] for rest in called("make")} <= targets
    suites = {name for text in [*called("pytest"), DOCS] for name in re.findall(r"--suite (\w+)", text)}
    assert suites == {"pr", "nightly"}
    assert all((ROOT / f"conf/suite/{name}.yaml").exists() for name in suites)
    to_pytest = set().union(*map(options, [*called(r"\.venv/bin/pytest"), *called("make")]))
    assert to_pytest >= {"--suite", "--require-all", "--junit-xml", "--record-cassettes"}
    assert to_pytest <= options(_help("pytest"))


@pytest.mark.parametrize("subcommand", ["seed", "doctor", "setup", "launch", "report"])
def test_the_subcommands_and_their_options_exist(subcommand: str) -> None:
    used = [rest for rest in called(r"\.venv/bin/proctor") if rest.split()[0] == subcommand]
    assert used
    assert set().union(*map(options, used)) <= options(_help("harness", subcommand))


def test_the_report_on_the_newest_clis_is_left_where_the_recipe_looks_for_it() -> None:
    [upload] = [step["with"]["path"] for step in steps(WORKFLOWS["newest"]) if "upload" in step.get("uses", "")]
    assert ROOT / upload == REPORT


def _help(module: str, *arguments: str) -> str:
    command = [sys.executable, "-m", module, *arguments, "--help"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of this checkout with the set-up of the original."""
    copy = tmp_path / "checkout"
    left_out = shutil.ignore_patterns(".*_cache", ".git", ".venv", ".hypothesis", "__pycache__", "runs", "node_modules")
    shutil.copytree(ROOT, copy, symlinks=True, ignore=left_out)
    (copy / ".venv").symlink_to(ROOT / ".venv")
    for file in ("requirements/requirements.lock", "pyproject.toml"):
        os.utime(copy / file, (0, 0))  # make sees a finished set-up
    return copy


def bash(text: str, checkout: Path, **variables: str) -> None:
    small = text.replace("--suite nightly", "--suite smoke").replace("*-nightly", "*-smoke").replace("-n auto", "-n 2")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_"))}
    done = subprocess.run(
        [BASH, "-eo", "pipefail", "-c", small],  # as GitHub calls it
        cwd=checkout,
        env=kept | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{small}\n{done.stdout}\n{done.stderr}"


def run_steps(name: str, checkout: Path, page: Path) -> list[str]:
    """Run the steps of a workflow that are commands. Return what the others upload."""
    uploads: list[str] = []
    for step in steps(WORKFLOWS[name]):
        if "upload" in step.get("uses", ""):
            uploads += step["with"]["path"].split()
        elif "run" in step and "sudo" not in step["run"]:
            bash(step["run"], checkout, GITHUB_STEP_SUMMARY=str(page), PYTEST_ADDOPTS="-k claude")
    return uploads


@pytest.mark.nightly
@pytest.mark.parametrize("name", ["pr", "nightly"])
def test_the_steps_of_a_workflow_run_and_leave_the_files_for_the_next_ones(name: str, checkout: Path) -> None:
    page = checkout / "page.md"
    uploads = run_steps(name, checkout, page)
    assert "| claude-scripted-small\\_maze | passed |" in page.read_text()
    assert all((checkout / upload).stat().st_size for upload in uploads)
    reports = [(checkout / upload).read_text() for upload in uploads if upload.endswith(".xml")]
    assert reports
    for report in reports:
        assert ' errors="0" failures="0" ' in report
        assert ' tests="0" ' not in report


@pytest.mark.nightly
def test_the_next_night_is_compared_with_the_nights_before_on_any_runner(checkout: Path) -> None:
    for page in ("first.md", "second.md"):
        run_steps("nightly", checkout, checkout / page)
        shutil.rmtree(checkout / "runs")  # the next runner has the cache alone
    assert "worse" not in (checkout / "first.md").read_text()
    second = (checkout / "second.md").read_text()
    assert second.startswith("**worse: 0 cases, 0 groups**")
    with tarfile.open(checkout / "nights.tar.gz") as kept:
        nights = {name.split("/")[1] for name in kept.getnames()}
    assert len(nights) == 2
    assert "| claude-scripted-small\\_maze | passed |" in second
