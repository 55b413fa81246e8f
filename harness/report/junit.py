"""Adds the verdicts on a session to its JUnit XML. pytest writes the file before the verdicts are known."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import fmean
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from harness.report.verdicts import Compared, counts, headline
from harness.verdict.comparison import Comparison
from harness.verdict.intervals import t_interval
from harness.verdict.reading import RunTrials
from harness.verdict.trials import Measure, Trial, by_case, values
from harness.visible import visible

FOLDER = "folder"
"""The property by which the test of a case is known. `harness/report/properties.py` writes it."""

Properties = Mapping[str, object]


def add_verdicts(xml: Path, found: RunTrials, compared: Compared) -> None:
    """Add what was compared to the suite in this file, and each case's verdict to the case's tests.

    Raise `OSError` if the file cannot be read or written, and `ValueError` if it holds no XML.
    """
    try:
        tree = ElementTree.parse(xml)  # noqa: S314 - pytest has just written this file
    except ElementTree.ParseError as error:
        raise ValueError(f"{xml}: {error}") from error
    for suite in tree.iter("testsuite"):
        _add(suite, _of_session(compared))
    by_folder = _of_cases(found, compared)
    for test in tree.iter("testcase"):
        places = [one.get("value", "") for one in test.iter("property") if one.get("name") == FOLDER]
        for place in places:
            _add(test, by_folder.get(Path(place).name, {}).items())
    new = xml.with_name(f".{xml.name}.{os.getpid()}")
    tree.write(new, encoding="utf-8", xml_declaration=True)
    new.replace(xml)


def _of_session(compared: Compared) -> list[tuple[str, object]]:
    told: list[tuple[str, object]] = [("baseline", folder) for folder in compared.base]
    told += [("verdict", line) for line in counts(compared)]
    return [*told, *(("regression", headline(one)) for one in compared.worse)]


def _of_cases(found: RunTrials, compared: Compared) -> dict[str, Properties]:
    """Return the properties of each case, by the names of its folders."""
    verdicts = defaultdict[str, dict[Measure, Comparison]](dict)
    for one in compared.comparisons:
        if one.level == "case":
            verdicts[one.name][one.measure] = one
    properties = {key: _of_case(trials, verdicts[str(key)]) for key, trials in by_case(found.trials).items()}
    return {path.name: properties[key] for key, paths in found.folders.items() for path in paths}


def _of_case(trials: list[Trial], verdicts: Mapping[Measure, Comparison]) -> Properties:
    """Return what a case measured over its replicates, and the verdicts on it, as far as known."""
    rates = values(trials, Measure.SOLVE_RATE)
    interval = t_interval(rates)
    verdict = verdicts.get(Measure.SOLVE_RATE)
    known = {
        "case_solve_rate": _mean(rates),
        "case_solve_rate_low": None if interval is None else round(max(0.0, interval.low), 4),
        "case_solve_rate_high": None if interval is None else round(min(1.0, interval.high), 4),
        "case_turns": _mean(values(trials, Measure.TURNS)),
        "case_cost_usd": _mean(values(trials, Measure.COST)),
        "baseline_solve_rate": None if verdict is None else verdict.base.mean,
        "verdict": None if verdict is None else verdict.verdict,
        "verdict_reason": None if verdict is None else verdict.reason,
        **{f"verdict_{one.measure}": one.verdict for one in verdicts.values() if one is not verdict},
    }
    return {name: value for name, value in known.items() if value is not None}


def _mean(sample: list[float]) -> float | None:
    return fmean(sample) if sample else None


def _add(element: Element, properties: Iterable[tuple[str, object]]) -> None:
    place = element.find("properties")
    if place is None:
        place = Element("properties")
        element.insert(0, place)
    for name, value in properties:
        place.append(Element("property", name=name, value=visible(str(value))))
