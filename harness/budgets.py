"""The budgets that the cases of a session share: `suite.budget` and the `daily_budget` of providers."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.lazy import LazyModule
from harness.stash import cases_of, run_of

if TYPE_CHECKING:
    from harness import closing, endings, part_orders
    from harness.case import Case
    from harness.closing import Closing
    from harness.gateway import purses
    from harness.gateway.purses import Purses
    from harness.results.record import Record
else:  # a session without shared budgets needs none of these
    closing = LazyModule("harness.closing")
    endings = LazyModule("harness.endings")
    part_orders = LazyModule("harness.part_orders")
    purses = LazyModule("harness.gateway.purses")

_PURSES: pytest.StashKey[Purses] = pytest.StashKey()


def purses_of(config: pytest.Config) -> Purses:
    """Return the shared budgets, as this process uses them. They are closed at the end of the session.

    The workers of a run, the sessions that resume it, and its other shards on this machine share the suite's budget.
    """
    if _PURSES not in config.stash:
        this = run_of(config)
        index, count = (0, 1) if this.part is None else (this.part.index, this.part.count)
        suite = f"{this.suite} in {count} parts, of {this.conf.root.resolve()}"
        part, place = purses.RunPart(folder=this.folder.resolve(), suite=suite, part=index), None
        if (given := part_orders.orders()) is not None:  # a part of a launched run, whose parts have one purse
            part = purses.RunPart(folder=Path(given.launch), suite=suite)
            place = purses.BudgetPlace(file=Path(given.budgets), shares=given.shares)
        config.stash[_PURSES] = purses.Purses(part, place=place)
        config.add_cleanup(config.stash[_PURSES].close)
    return config.stash[_PURSES]


def share_budgets(case: Case) -> bool:
    """Return whether a case shares a budget with others."""
    return case.has_agent and (case.budget is not None or case.provider.daily_budget is not None)


def budgets_at_the_end(config: pytest.Config, records: Iterable[Record]) -> Closing:
    """Return what is used and left of each budget that cases share, and how to go on once one is spent.

    `records` are those of the run.
    """
    shared = {case.provider.name: case for case in cases_of(config) if share_budgets(case)}
    lines = list[str]()
    try:
        for case in shared.values():
            of_case = purses_of(config).of(case)
            lines += [] if of_case is None else of_case.told()
    except endings.ConfError as error:
        return closing.Closing(warning=str(error), title="budgets")
    cut = sum(record.ending is endings.Ending.BUDGET_SPENT for record in records)
    resume = f"`pytest --resume {run_of(config).folder.name}` runs them once there is room"
    unmeasured = f"{cut} case{'s' if cut > 1 else ''} could not be measured"
    warning = f"a budget is spent, and {unmeasured}: {resume}" if cut else None
    return closing.Closing([*dict.fromkeys(lines)], warning, title="budgets")
