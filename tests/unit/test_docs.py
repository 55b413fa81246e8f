"""The pages in `docs/` name what the code has: every field, ending, file, key and option. A page that rots fails here."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec import Struct

from harness.case import Limits
from harness.case_folder import CaseFolder
from harness.endings import ENDINGS
from harness.evaluation.rollout import Episode, EpisodeOutcome
from harness.gateway.ledger import LedgerEntry
from harness.results.record import Record
from harness.servers.journal import JournalEntry
from tests.support.markdown import code, code_blocks, fields, page, structs_in, table

RECORDS = page("docs/records.md")


def named(text: str, heading: str) -> list[str]:
    """What the first column of the table below this heading names."""
    return [code(next(iter(row.values()))) for row in table(text, heading)]


class TestRecords:
    """docs/records.md."""

    KEPT = [kind for kind in structs_in(Record, LedgerEntry, Episode, JournalEntry) if kind is not Limits]

    @pytest.mark.parametrize("kind", KEPT, ids=lambda kind: kind.__name__)
    def test_every_field_stands_there_with_its_type(self, kind: type[Struct]) -> None:
        rows = table(RECORDS, f"`{kind.__name__}`")
        assert {code(row["field"]): row["type"] for row in rows} == fields(kind)
        assert [code(row["field"]) for row in rows] == list(fields(kind)), "in the order of the code"

    @pytest.mark.parametrize("kind", KEPT, ids=lambda kind: kind.__name__)
    def test_a_field_that_may_be_null_says_what_null_means(self, kind: type[Struct]) -> None:
        for row in table(RECORDS, f"`{kind.__name__}`"):
            assert ("Null: " in row["meaning"]) == row["type"].endswith("or null"), row["field"]

    def test_every_ending_stands_there_with_its_row_of_the_one_table(self) -> None:
        columns = ("cause", "retried", "graded", "outcome")
        written = {code(row["ending"]): tuple(row[column] for column in columns) for row in table(RECORDS, "Endings")}
        said = {False: "no", True: "yes"}
        assert written == {
            str(ending): (str(follows.cause), said[follows.retried], said[follows.graded], follows.outcome)
            for ending, follows in ENDINGS.items()
        }

    def test_every_outcome_of_an_episode_stands_there(self) -> None:
        assert named(RECORDS, "`EpisodeOutcome`") == list(EpisodeOutcome)

    def test_every_file_of_a_case_stands_there(self) -> None:
        written = {code(row["property"]): code(row["path"]) for row in table(RECORDS, "The folder of a case")}
        folder = CaseFolder(Path())
        paths = {name: getattr(folder, name) for name, member in vars(CaseFolder).items() if isinstance(member, property)}
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
