"""Run each case of the suite (backend x model x environment): `pytest -k opencode --suite default`."""

from harness.case import Case
from harness.evaluation.submission import Submission
from harness.grading import Score


def test_case(case: Case, submission: Submission, score: Score) -> None:
    assert score.solve_rate >= case.environment.pass_solve_rate
