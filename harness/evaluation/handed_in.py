"""What is handed in: the files that an agent left, or those that a person gives to be graded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from harness.case_folder import CaseFolder
from harness.endings import ConfError, Ending
from harness.evaluation.submission import Submission, collect
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
    """Return the submission that a test is to grade. A folder is copied first. The record says if no agent ran.

    `giver` says in messages where `given` comes from. Raise `ConfError` if it is neither a submission nor a folder.
    """
    if isinstance(given, Submission):
        submission, source = given, given.path
    elif isinstance(given, str | Path) and Path(given).is_dir():
        source = Path(given).absolute()
        submission = _copied(source, builder.folder, giver)
    else:
        raise ConfError(f"{giver} must give a folder, or what Proctor's own fixture gives, and not {given!r:.200}")
    if not builder.attempts and builder.ending is not Ending.FINISHED:
        builder.end(Ending.FINISHED, f"no agent ran: {giver} gave {source}")
    builder.submission = _handed_in(submission)
    return submission


def _copied(source: Path, folder: CaseFolder, giver: str) -> Submission:
    """Copy a folder to where the submission of the case lies. It may be the same folder, or hold what an agent left."""
    folder.make()
    with folder.scratch() as scratch:
        try:
            copied = collect(source, scratch / "submission")
        except ValueError as error:
            raise ConfError(f"{giver} gave {source}: {error}") from error
        discard(folder.submission)
        copied.path.rename(folder.submission)
    return msgspec.structs.replace(copied, path=folder.submission)


def _handed_in(submission: Submission) -> dict[str, Any]:
    return {
        "digest": submission.digest,
        "files": sorted(submission.files),
        "left_out": list(submission.left_out),
    }
