"""The pages in `docs/` match the code: they name every field, ending, file, key and option."""

from __future__ import annotations

import re
import subprocess
import sys
from argparse import ArgumentParser
from inspect import signature
from pathlib import Path
from types import ModuleType

import msgspec
import pytest
import yaml
from msgspec import Struct

from backends.claude.adapter import ClaudeOptions
from backends.cline.adapter import ClineOptions
from backends.codex.adapter import CodexOptions
from backends.direct.adapter import DirectOptions
from backends.gemini.adapter import GeminiOptions
from backends.kilo.adapter import KiloOptions
from backends.opencode.adapter import OpenCodeOptions
from backends.options import BackendOptions
from backends.pi.adapter import PiOptions
from backends.qwen.adapter import QwenOptions
from harness.adapters import InstanceOptions
from harness.agent.prompt import PromptFacts
from harness.budget_conf import BudgetConf, PaceConf
from harness.case import (
    BackendConf,
    Exclusion,
    GatewayConf,
    KnownFailure,
    Limits,
    ModelConf,
    Price,
    PromptConf,
    ProviderConf,
    SandboxConf,
    SuiteConf,
)
from harness.case_folder import CaseFolder
from harness.commands import export, grade, launch, prune, view
from harness.endings import ENDINGS
from harness.environment_conf import Counts, EnvironmentConf
from harness.environments.factory import KINDS
from harness.environments.gymnasium_adapter import GymnasiumEnvironment
from harness.environments.maze import Maze
from harness.evaluation.playing import Episode, EpisodeOutcome
from harness.evaluation.versions import Version
from harness.gateway.ledger import LedgerEntry
from harness.grading import EvaluationConf
from harness.programs import ProgramOptions
from harness.results.begun import Begun
from harness.results.record import Record
from harness.servers.journal import JournalEntry
from harness.servers.llamacpp import LlamaCppOptions
from harness.servers.ollama import OllamaOptions
from harness.servers.vllm import VllmOptions
from harness.signing_conf import SigningConf
from tests.support.markdown import code, code_blocks, defaults, fields, page, structs_in, table
from tests.support.project import ROOT

RECORDS = page("docs/records.md")
KEPT = [kind for kind in structs_in(Record, LedgerEntry, Episode, Version, JournalEntry, Begun) if kind is not Limits]
"""The structs in the files of a run."""


def named(text: str, heading: str) -> list[str]:
    """Return the names in the first column of the table below this heading."""
    return [code(next(iter(row.values()))) for row in table(text, heading)]


class TestRecords:
    """docs/records.md."""

    @pytest.mark.parametrize("kind", KEPT, ids=lambda kind: kind.__name__)
    def test_every_field_is_listed_with_its_type(self, kind: type[Struct]) -> None:
        rows = table(RECORDS, f"`{kind.__name__}`")
        assert {code(row["field"]): row["type"] for row in rows} == fields(kind)
        assert [code(row["field"]) for row in rows] == list(fields(kind)), "in the order of the code"

    @pytest.mark.parametrize("kind", KEPT, ids=lambda kind: kind.__name__)
    def test_a_field_that_may_be_null_says_what_null_means(self, kind: type[Struct]) -> None:
        for row in table(RECORDS, f"`{kind.__name__}`"):
            assert ("Null: " in row["meaning"]) == row["type"].endswith("or null"), row["field"]

    def test_every_ending_is_listed_with_its_policy(self) -> None:
        columns = ("cause", "retried", "graded", "outcome")
        written = {code(row["ending"]): tuple(row[column] for column in columns) for row in table(RECORDS, "Endings")}
        said = {False: "no", True: "yes"}
        assert written == {
            str(ending): (str(follows.cause), said[follows.retried], said[follows.graded], follows.outcome)
            for ending, follows in ENDINGS.items()
        }

    def test_what_decides_each_ending_is_listed(self) -> None:
        rows = table(page("docs/security.md"), "The grade")
        assert sorted(name for row in rows for name in re.findall(r"`(\w+)`", row["ending"])) == sorted(ENDINGS)

    def test_every_outcome_of_an_episode_is_listed(self) -> None:
        assert named(RECORDS, "`EpisodeOutcome`") == list(EpisodeOutcome)

    def test_every_file_of_a_case_is_listed(self) -> None:
        written = {code(row["property"]): code(row["path"]) for row in table(RECORDS, "The folder of a case")}
        folder = CaseFolder(Path())
        paths = {
            name: getattr(folder, name) for name, member in vars(CaseFolder).items() if isinstance(member, property)
        }
        assert written == {name: str(path) for name, path in paths.items()} | {"attempt": "attempt-N"}
        assert str(folder.attempt(7).path) == "attempt-7"

    def test_its_program_reads_the_records_of_a_run(self, tmp_path: Path) -> None:
        [program] = [block.text for block in code_blocks(RECORDS) if block.language == "python"]
        (tmp_path / "runs/latest").mkdir(parents=True)
        lines = '{"case":{"id":"one"},"outcome":"passed","score":{"solve_rate":0.95}}\n'
        lines += '{"case":{"id":"two"},"outcome":"error","score":null}\n'
        (tmp_path / "runs/latest/results.jsonl").write_text(lines)
        command = [sys.executable, "-c", program]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        assert done.stdout == "one passed 0.95\ntwo error None\n"


CONFIGURATION = page("docs/configuration.md")
CONFIGURED: dict[str, type[Struct]] = {
    "`suite`": SuiteConf,
    "`backend`": BackendConf,
    "`model`": ModelConf,
    "`provider`": ProviderConf,
    "`environment`": EnvironmentConf,
    "`Counts`": Counts,
    "`prompt`": PromptConf,
    "`sandbox`": SandboxConf,
    "`limits`": Limits,
    "`evaluation`": EvaluationConf,
    "`gateway`": GatewayConf,
    "`Exclusion`": Exclusion,
    "`BudgetConf`": BudgetConf,
    "`PaceConf`": PaceConf,
    "`SigningConf`": SigningConf,
    "`KnownFailure`": KnownFailure,
    "`Price`": Price,
    "`OllamaOptions`": OllamaOptions,
    "`VllmOptions`": VllmOptions,
    "`LlamaCppOptions`": LlamaCppOptions,
    "`BackendOptions`": BackendOptions,
    "`ClaudeOptions`": ClaudeOptions,
    "`ClineOptions`": ClineOptions,
    "`CodexOptions`": CodexOptions,
    "`OpenCodeOptions`": OpenCodeOptions,
    "`KiloOptions`": KiloOptions,
    "`GeminiOptions`": GeminiOptions,
    "`PiOptions`": PiOptions,
    "`QwenOptions`": QwenOptions,
    "`DirectOptions`": DirectOptions,
    "`InstanceOptions`": InstanceOptions,
    "`ProgramOptions`": ProgramOptions,
}


class TestConfiguration:
    """docs/configuration.md."""

    @pytest.mark.parametrize("heading", CONFIGURED)
    def test_every_key_is_listed_with_its_type_and_default(self, heading: str) -> None:
        kind = CONFIGURED[heading]
        rows = table(CONFIGURATION, heading)
        assert {code(row["key"]): row["type"] for row in rows} == fields(kind)
        assert {code(row["key"]): row["default"] for row in rows} == defaults(kind)
        assert [code(row["key"]) for row in rows] == list(fields(kind)), "in the order of the code"

    def test_every_struct_of_the_configuration_has_a_table(self) -> None:
        assert set(structs_in(*CONFIGURED.values())) == set(CONFIGURED.values())

    @pytest.mark.parametrize("heading", CONFIGURED)
    def test_a_key_that_may_be_null_says_what_null_means(self, heading: str) -> None:
        for row in table(CONFIGURATION, heading):
            assert ("Null: " in row["meaning"]) == row["type"].endswith("or null"), row["key"]

    def test_every_variable_of_a_prompt_is_listed(self) -> None:
        cells = [row["variable"] for row in table(CONFIGURATION, "Variables of a prompt")]
        assert set(re.findall(r"`(\w+)`", " ".join(cells))) == set(PromptFacts.__struct_fields__)

    def test_the_packaged_config_sets_the_defaults(self) -> None:
        written = yaml.safe_load(page("conf/config.yaml"))
        assert msgspec.convert(written["limits"], Limits) == Limits()
        assert msgspec.convert(written["evaluation"], EvaluationConf) == EvaluationConf()
        assert msgspec.convert(written["gateway"], GatewayConf) == GatewayConf()

    def test_every_option_of_the_command_line_is_listed(self) -> None:
        shown = subprocess.run(
            [sys.executable, "-m", "pytest", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
        group = re.search(r"^evaluation of coding agents:\n(.*?)^\S", shown, re.MULTILINE | re.DOTALL)
        assert group
        options = re.findall(r"^  (--[a-z-]+)", group[1], re.MULTILINE)
        assert sorted(name.partition(" ")[0] for name in named(CONFIGURATION, "On the command line")) == sorted(options)

    def test_every_kind_of_environment_is_listed_with_its_arguments(self) -> None:
        written = {
            code(row["kind"]): set(re.findall(r"`(\w+)`", row["arguments"]))
            for row in table(CONFIGURATION, "Kinds of environment")
        }
        assert written.keys() == set(KINDS)
        for kind, adapter in (("maze", Maze), ("gymnasium", GymnasiumEnvironment)):
            assert signature(adapter).parameters.keys() - {"max_steps"} <= written[kind]


@pytest.mark.parametrize(
    ("command", "name", "heading"),
    [
        (prune, "docs/running.md", "Remove old runs"),
        (grade, "docs/programs.md", "The options of the command"),
        (view, "docs/running.md", "Watch runs in a browser"),
        (export, "docs/exports.md", "The options of the command"),
        (launch, "docs/cluster.md", "The options of the command"),
    ],
)
def test_every_option_of_a_command_is_listed(command: ModuleType, name: str, heading: str) -> None:
    parser = ArgumentParser(add_help=False)
    command.add_arguments(parser)
    options = [text for action in parser._actions for text in action.option_strings]
    cells = [row["option"] for row in table(page(name), heading)]
    assert re.findall(r"`(--?[a-z-]+)", " ".join(cells)) == options


ARCHITECTURE = page("docs/architecture.md")


class TestArchitecture:
    """docs/architecture.md."""

    def test_every_room_is_listed(self) -> None:
        rooms = named(ARCHITECTURE, "The rooms")
        packages = [f"harness/{path.parent.name}" for path in (ROOT / "harness").glob("*/__init__.py")]
        assert {"backends", *packages} <= set(rooms)
        assert len(rooms) == len(set(rooms))

    def test_every_module_that_it_names_exists(self) -> None:
        modules = set(re.findall(r"`((?:backends|harness|tests)(?:/\w+)+(?:\.py)?)`", ARCHITECTURE))
        assert len(modules) > 40
        assert [name for name in modules if not (ROOT / name).exists()] == []

    def test_the_words_are_in_alphabetical_order(self) -> None:
        words = [row["word"] for row in table(ARCHITECTURE, "Words")]
        assert words == sorted(words)


PAGES = [*sorted((ROOT / "docs").glob("*.md")), *sorted(ROOT.glob("*.md"))]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_link_leads_somewhere(path: Path) -> None:
    text = path.read_text()
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", text):
        name, _, anchor = target.partition("#")
        other = path.parent / name if name else path
        assert other.exists(), target
        assert not anchor or anchor in anchors(other.read_text()), target


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_target_of_make_exists(path: Path) -> None:
    targets = set(re.findall(r"^([\w-]+):", page("Makefile"), re.MULTILINE))
    assert set(re.findall(r"(?:`|^ *)make ([a-z-]+)", path.read_text(), re.MULTILINE)) <= targets


def test_contributing_names_every_folder_of_tests() -> None:
    folders = {f"tests/{path.parent.name}" for path in (ROOT / "tests").glob("*/__init__.py")}
    assert set(named(page("CONTRIBUTING.md"), "Where tests are")) == folders | {"tests/unit"}


def anchors(text: str) -> set[str]:
    """Return the anchors that GitHub makes for a page's headings."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
