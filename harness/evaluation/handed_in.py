"""What a case hands in to be graded: what its agent left, or what somebody gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from harness.case_folder import CaseFolder
from harness.endings import ConfError, Ending
from harness.evaluation.program import AGENTS_ENTRY, GivenProgram, program_in
from harness.evaluation.submission import GIVEN_CAPS, Submission, collect
from harness.results.record_builder import RecordBuilder
from harness.untrusted.removal import discard


def collect_submission(builder: RecordBuilder, folder: str = ".") -> Submission:
    """Copy out what the agent left in a folder of its workspace, then remove the agent's home.

    Only graded sessions come here, so the home of a session that left nothing to grade is kept.
    """
    files = builder.folder
    submission = collect(files.workspace, files.submission, folder=folder)
    discard(files.home)
    builder.submission = _handed_in(submission)
    return submission


def given_submission(builder: RecordBuilder, given: object, giver: str = "the fixture `submission`") -> Submission:
    """Return the submission to grade. A folder or a program is copied first. The record says if no agent ran.

    `giver` says in messages where `given` comes from. Raise `ConfError` if it is none of these.
    """
    if isinstance(given, Submission):
        submission, source = given, given.path
    elif isinstance(given, GivenProgram):
        source = given.root / given.file
        submission = _copied(given, builder.folder, giver)
    elif isinstance(given, str | Path) and Path(given).is_dir():
        source = Path(given).absolute()
        submission = _copied(program_in(source), builder.folder, giver)
    else:
        raise ConfError(f"{giver} must give a folder, or what Proctor's own fixture gives, and not {given!r:.200}")
    if not builder.attempts and builder.ending is not Ending.FINISHED:
        builder.end(Ending.FINISHED, f"no agent ran: {giver} gave {source}")
    builder.submission = _handed_in(submission)
    return submission


def _copied(given: GivenProgram, folder: CaseFolder, giver: str) -> Submission:
    """Copy a program to where the submission of the case lies. It may lie there itself, or be what an agent left."""
    folder.make()
    with folder.scratch() as scratch:
        try:
            copied = collect(given.root, scratch / "submission", GIVEN_CAPS, part=given.part, required=given.file)
        except ValueError as error:
            raise ConfError(f"{giver} gave {given.root}: {error}") from error
        discard(folder.submission)
        copied.path.rename(folder.submission)
    return msgspec.structs.replace(copied, path=folder.submission, entry=given.entry)


def _handed_in(submission: Submission) -> dict[str, Any]:
    return {
        "digest": submission.digest,
        "files": sorted(submission.files),
        "left_out": list(submission.left_out),
        **({} if submission.entry == AGENTS_ENTRY else {"policy": str(submission.entry)}),
        **({} if submission.entry.python is None else {"python": submission.entry.python}),
    }
