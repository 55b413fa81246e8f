"""A run goes on with other budgets than it was begun with, if `--set` gives them."""

from __future__ import annotations

from harness.resuming import with_budgets_of


def test_a_budget_given_now_replaces_that_of_the_beginning() -> None:
    begun = {"--suite": "s", "--set": ["suite.replicates=3", "+suite.budget.requests=6"]}
    now = {"--set": ["suite.budget.requests=400", "provider.x.daily_budget.tokens=5", "suite.replicates=4"]}
    assert with_budgets_of(now, begun) == {
        "--suite": "s",
        "--set": ["suite.replicates=3", "suite.budget.requests=400", "provider.x.daily_budget.tokens=5"],
    }


def test_without_a_new_budget_the_options_are_those_of_the_beginning() -> None:
    begun = {"--set": ["suite.budget.requests=6"]}
    assert with_budgets_of({"--set": ["suite.replicates=4"]}, begun) == begun
    assert with_budgets_of({}, begun) == begun
