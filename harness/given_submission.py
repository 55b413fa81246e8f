"""The fixtures that take the place of Proctor's own in `pytest --submission FOLDER`, where no agent runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import pytest

from harness.fixtures import session_of
from harness.lazy import LazyModule
from harness.stash import BUILDER, submission_folder

if TYPE_CHECKING:
    from harness import endings, pipeline
    from harness.case import Case
    from harness.evaluation.submission import Submission
else:
    endings = LazyModule("harness.endings")
    pipeline = LazyModule("harness.pipeline")

_NO_AGENT = "--submission grades a folder: this case has no agent, no CLI and no model"


@pytest.fixture
def submission(request: pytest.FixtureRequest, case: Case) -> Submission:  # noqa: ARG001 - so that the test has a case
    """The submission in the folder of `--submission`. It is copied, and graded as an agent's would be."""
    folder = submission_folder(request.config)
    session = session_of(request)
    return session.once("submission", lambda: pipeline.given_submission(session.builder, folder, "--submission"))


@pytest.fixture
def backend(request: pytest.FixtureRequest, case: Case) -> NoReturn:  # noqa: ARG001 - so that the test has a case
    """Skip the test. So does each fixture that needs the CLI."""
    _skip(request)


@pytest.fixture
def model_server(request: pytest.FixtureRequest, case: Case) -> NoReturn:  # noqa: ARG001 - as for `backend`
    """Skip the test, because there is no model."""
    _skip(request)


def _skip(request: pytest.FixtureRequest) -> NoReturn:
    builder = request.node.stash.get(BUILDER, None)
    if builder is not None and not builder.recorded:  # another test has graded the folder
        builder.end(endings.Ending.UNAVAILABLE, _NO_AGENT)
    pytest.skip(_NO_AGENT)
