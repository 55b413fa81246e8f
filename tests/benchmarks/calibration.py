"""How often the gate is wrong, and what it sees: simulated nights, with the gate's own tests.

Each night runs 60 cases of 3 backends, 4 models and 5 environments with 20 episodes each, against seven nights before
it. The program ends with status 1 if a false alarm is more frequent than the gate promises, by more than two standard
errors. The figures of `docs/statistics.md` are from `NIGHTS=2000`, which takes 15 minutes of one core.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from statistics import fmean

import numpy as np
from msgspec.structs import replace
from scipy import stats

from harness.verdict.contrast import Contrast
from harness.verdict.discovery import adjusted
from harness.verdict.equivalence import same_rate
from harness.verdict.intervals import wilson_interval
from harness.verdict.power import smallest_drop
from harness.verdict.rules import Looks, Rules
from harness.verdict.spread import Spread
from harness.verdict.trials import CaseKey
from tests.benchmarks.nights import (
    BASE_NIGHTS,
    CASES,
    EPISODES,
    GROUPS,
    Floats,
    Ints,
    Setting,
    changed,
    draw,
    group_tails,
    judge,
    means,
    spreads,
    tests,
)
from tests.benchmarks.usage_nights import COSTS, Usage, usage_worse

NIGHTS = int(os.environ.get("NIGHTS", "500"))
LEVEL = Rules().false_discovery
HIGH, MIXED = [0.9] * CASES, means(0.1, 0.95)
FALLEN, MODEL = 7, "m1"
_KEY = CaseKey("b", "m", "e")


def null(replicates: int, **changes: object) -> Setting:
    """Return nights without any change."""
    setting = Setting(base=HIGH, new=HIGH, nights=NIGHTS, replicates=replicates)
    return replace(setting, **changes)


def false_alarms() -> bool:
    """Print how often a night without a change is called worse anywhere. Return whether it is rare enough."""
    print(f"nights without a change with a false 'worse' ({NIGHTS} nights, at most {LEVEL:.0%} allowed):")
    rows = {f"{count} replicates": null(count) for count in (2, 3, 4, 5)}
    rows |= {
        "2, means 0.1 to 0.95": null(2, base=MIXED, new=MIXED),
        "2, no gaps": null(2, gap=0.0),
        "2, a quarter missing": null(2, gap=0.25),
        "2, all or nothing (c 0.2)": null(2, concentration=0.2),
        "2, alike programs (c 20)": null(2, concentration=20.0),
        "2, easy and hard episodes": null(2, difficulty=2.0),
    }
    fine = True
    for name, setting in rows.items():
        shares = [judge(setting).any_worse(), judge(setting, Looks(first=setting.replicates)).any_worse()]
        fine &= _rare(max(shares))
        naive = ", ".join(f"{rule} {share:.0%}" for rule, share in naive_rules(setting).items())
        print(f"  {name:26} gate {shares[0]:.3f}, until decided {shares[1]:.3f}; cases flagged: {naive}")
    return fine


def false_alarms_of_costs() -> bool:
    """Print how often cost, turns, tokens or seconds are called worse anywhere in a night without a change."""
    print("the same for cost, turns, tokens and seconds together:")
    fine = True
    for name, usage in {
        "2 replicates, quiet machine": Usage(nights=NIGHTS, replicates=2, busy=0.0),
        "2, nights differ by 10%": Usage(nights=NIGHTS, replicates=2),
        "2, nights differ by 30%": Usage(nights=NIGHTS, replicates=2, busy=0.3),
        "2, programs alike": Usage(nights=NIGHTS, replicates=2, spread=0.1),
        "3, nights differ by 10%": Usage(nights=NIGHTS, replicates=3),
    }.items():
        share = float(usage_worse(usage).any(axis=(1, 2)).mean())
        fine &= _rare(share)
        print(f"  {name:27} {share:.3f}")
    return fine


def _rare(share: float) -> bool:
    """Return whether a share of nights keeps the promise, within two standard errors."""
    return bool(share <= LEVEL + 2 * (LEVEL * (1 - LEVEL) / NIGHTS) ** 0.5)


def naive_rules(setting: Setting) -> dict[str, float]:
    """Return the share of cases that rules without a test, or with the wrong unit, call worse every night."""
    few = replace(setting, nights=min(NIGHTS, 200))
    base, new = (draw(few, side, count * few.replicates, salt=salt) for side, count, salt in _sides(few))
    yesterday, tonight = _rate(base[:, :, -few.replicates :]), _rate(new)
    pooled = [_pooled(side) for side in (base, new)]
    fisher = stats.hypergeom.cdf(pooled[1][0], pooled[0][1] + pooled[1][1], pooled[0][0] + pooled[1][0], pooled[1][1])
    apart = [
        wilson_interval(int(won), int(played)).high < wilson_interval(int(old), int(before)).low
        for won, played, old, before in zip(*(side.ravel() for side in (*pooled[1], *pooled[0])), strict=True)
        if played and before
    ]
    return {
        "lower than yesterday": float((tonight < yesterday).mean()),
        "Fisher over episodes": float((fisher < LEVEL).mean()),
        "intervals apart": fmean(apart),
    }


def power() -> None:
    """Print what the gate sees of one case that fell."""
    print(
        f"one case of {CASES} fell from 0.9; found by: a test by case under Benjamini-Hochberg / gate / until decided:"
    )
    for low in (0.3, 0.6):
        for count in (2, 3, 4, 5):
            setting = null(count, new=changed(HIGH, [FALLEN], low - 0.9), nights=NIGHTS // 2)
            plain, decided = judge(setting), judge(setting, Looks(first=count))
            more = decided.sessions() / plain.sessions() - 1
            print(
                f"  to {low}, {count} replicates  {_plain_power(setting):.2f} / {_share(plain.cases[:, FALLEN])} / "
                f"{_share(decided.cases[:, FALLEN])} with {more:.0%} more sessions"
            )


def power_of_groups() -> None:
    """Print what the gate sees of a group that lost 10 points in all its cases.

    Beside it: a test of the four models alone, and the most powerful test (Neyman and Pearson), which knows how
    programs were distributed before and are now, at the share of one of all groups.
    """
    print("a group lost 10 points in all its cases; gate / models alone / best possible test with this allowance:")
    names = list(GROUPS)
    for group in ("m1", "b1", "e1"):
        for count in (2, 3, 5):
            setting = null(count, new=changed(HIGH, GROUPS[group], -0.1), nights=NIGHTS // 2)
            found = _share(judge(setting).groups[:, names.index(group)])
            if group == MODEL:
                found += f" / {_models_alone(setting):.2f} / {_best_possible(count):.2f}"
            print(f"  {group}, {count} replicates  {found}")
    print("a model used 30% more turns, and tokens and money and time with them; found by each measure:")
    for count in (2, 3):
        usage = Usage(nights=NIGHTS // 4, replicates=count, rise=0.3, risen=tuple(GROUPS[MODEL]))
        shares = usage_worse(usage)[:, :, names.index(MODEL)].mean(axis=0)
        print(
            f"  {count} replicates  "
            + ", ".join(f"{name} {share:.2f}" for name, share in zip(COSTS, shares, strict=True))
        )


def false_discoveries() -> bool:
    """Print what is called worse if a model lost 30 points. Return whether few of these did not change."""
    print("a model lost 30 points: its cases called worse, and the mean share of what is called worse wrongly:")
    fine, members = True, GROUPS[MODEL]
    others = [number for number, group in enumerate(GROUPS.values()) if not {*group} & {*members}]
    for count in (2, 3, 5):
        setting = null(count, new=changed(HIGH, members, -0.3), nights=NIGHTS // 4)
        for name, looks in (("gate", None), ("until decided", Looks(first=count))):
            judged = judge(setting, looks)
            called = judged.cases.sum(axis=1) + judged.groups.sum(axis=1)
            right = judged.cases[:, members].sum(axis=1) + np.delete(judged.groups, others, axis=1).sum(axis=1)
            wrong = float(((called - right) / np.maximum(called, 1)).mean())
            fine &= wrong <= LEVEL
            print(f"  {count} replicates, {name:13}  {_share(judged.cases[:, members])}, wrongly {wrong:.3f}")
    return fine


def _models_alone(setting: Setting) -> float:
    """Return how often Benjamini-Hochberg over the four models alone, with all of the allowance, finds the one."""
    base, new = (draw(setting, side, count * setting.replicates, salt=salt) for side, count, salt in _sides(setting))
    rows = setting.nights * CASES
    found = tests(base.reshape(rows, -1), new.reshape(rows, -1), np.repeat(spreads(base, new), CASES))
    models = [number for number, name in enumerate(GROUPS) if name.startswith("m")]
    p_values = group_tails(found, setting.nights)[:, models]
    return fmean(adjusted(list(night))[models.index(list(GROUPS).index(MODEL))] <= LEVEL for night in p_values)


def _best_possible(count: int) -> float:
    """Return the power of the likelihood ratio test of 15 cases, at the level of one of all groups."""
    solved, chance = np.arange(EPISODES + 1), np.random.default_rng(1)
    before, after = (stats.betabinom.pmf(solved, EPISODES, 2 * mean, 2 - 2 * mean) for mean in (0.9, 0.8))
    graded = chance.random((40_000, len(GROUPS[MODEL]) * count)) >= null(count).gap
    ratio = np.log(before / after)
    usual, fallen = (
        (ratio[chance.choice(solved, graded.shape, p=weights)] * graded).sum(axis=1) for weights in (before, after)
    )
    return float((fallen <= np.quantile(usual, LEVEL / len(GROUPS))).mean())


def _sides(setting: Setting) -> tuple[tuple[Sequence[float], int, int], ...]:
    """Return the means, the number of nights and the salt of the baseline and of the new night."""
    return (setting.base, BASE_NIGHTS, 1), (setting.new, 1, 2)


def saved_sessions() -> None:
    """Print the sessions that `until decided` saves against a fixed number of replicates at equal power."""
    print("sessions saved by until-decided, against a fixed number of replicates with the same power:")
    for low in (0.3, 0.6):
        fallen = changed(HIGH, [FALLEN], low - 0.9)
        start = null(2, new=fallen, nights=NIGHTS // 4)
        decided = judge(start, Looks(first=2))
        wanted = float(decided.cases[:, FALLEN].mean())
        fixed = next(
            (n for n in range(3, 13) if judge(replace(start, replicates=n)).cases[:, FALLEN].mean() >= wanted), 13
        )
        saved = 1 - decided.sessions() / (CASES * fixed)
        print(f"  0.9 to {low}: power {wanted:.2f} needs {fixed} replicates of every case; saved {saved:.0%}")


def other_promises() -> None:
    """Print how often "same" is wrong, and how good the smallest drop is."""
    print("other promises:")
    margin = Rules().margin
    for count in (2, 6, 12):
        setting = null(count, new=[rate - margin for rate in HIGH], gap=0.0, nights=max(1, NIGHTS // 40))
        pairs = _contrasts(setting)
        wrong = fmean(same_rate([one], margin, Spread(1 / 3)) <= Rules().equivalence for one in pairs)
        right = fmean(
            same_rate([one], margin, Spread(1 / 3)) <= Rules().equivalence
            for one in _contrasts(replace(setting, new=HIGH))
        )
        print(f"  {count} replicates: 'same' if a case lost the margin of {margin} {wrong:.3f}, if nothing {right:.2f}")
    setting = null(2, new=[rate - margin for rate in HIGH], gap=0.0, nights=max(1, NIGHTS // 10))
    pairs = _contrasts(setting)
    suites = [pairs[number : number + CASES] for number in range(0, len(pairs), CASES)]
    wrong = fmean(same_rate(suite, margin, Spread(1 / 3)) <= Rules().equivalence for suite in suites)
    print(f"  'same' of a suite whose cases all lost the margin, 2 replicates: {wrong:.3f}")
    for count in (5, 8, 12):
        level = Rules().family / CASES
        drop = smallest_drop([_typical(count)], Spread(1 / 3), level, Rules().power)
        if drop is not None:
            setting = null(count, new=[rate - drop for rate in HIGH], gap=0.0, nights=max(1, NIGHTS // 40))
            found = _p_values(setting) <= level
            print(
                f"  {count} replicates: the smallest drop is said to be {drop:.2f}, and found with {found.mean():.2f}"
            )


def whole_nights() -> None:
    """Print how often nights are called worse that differ as a whole, which the gate does not promise to ignore."""
    print("nights that differ as a whole, without a change, called worse:")
    for shift in (0.02, 0.04):
        shares = ", ".join(f"{count} replicates {judge(null(count, shift=shift)).any_worse():.3f}" for count in (2, 5))
        print(f"  standard deviation {shift}: {shares}")


def betting() -> None:
    """Print what betting (Waudby-Smith and Ramdas 2024) does at the task of "until decided", for comparison.

    The bets are a mixture of fixed shares of the most that can be bet. Each new program is set against one program of
    the baseline, against the true mean of the baseline, or against its mean in seven nights.
    """
    print("betting, 12 replicates of the case that fell to 0.3; wealth that 60 cases need:")
    fell = null(2, new=changed(HIGH, [FALLEN], -0.6), gap=0.0)
    base, new = (draw(fell, side, 12, salt=salt) / EPISODES for side, salt in ((fell.base, 1), (fell.new, 2)))
    pairs = _wealth(base[:, FALLEN] - new[:, FALLEN], 1.0)
    known = _wealth(0.9 - new[:, FALLEN], 1 / 0.1)
    print(f"  against programs of the baseline: power {pairs.mean():.2f}; against its true mean: {known.mean():.2f}")
    quiet = draw(fell, fell.base, 12, salt=3).reshape(-1, 12) / EPISODES
    mean = draw(fell, fell.base, BASE_NIGHTS * 2, salt=4).reshape(len(quiet), -1).mean(axis=1, keepdims=True) / EPISODES
    wrong = _wealth(mean - quiet, 1 / (1 - np.minimum(mean, 0.99))).reshape(-1, CASES).any(axis=1)
    print(f"  against its mean in {BASE_NIGHTS} nights: {wrong.mean():.2f} of nights without a change are called worse")


def _wealth(gains: Floats, most: Floats | float) -> np.ndarray:
    """Return whether the wealth of each row ever reaches what a first discovery among all cases needs."""
    shares = (0.1, 0.3, 0.5, 0.7, 0.9)
    wealth = np.mean([np.cumprod(1 + share * most * gains, axis=1) for share in shares], axis=0)
    return np.asarray(wealth.max(axis=1) >= CASES / Rules().family)


def _plain_power(setting: Setting) -> float:
    """Return how often Benjamini-Hochberg over all cases finds the one that fell, with the same permutation test."""
    found = _p_values(replace(setting, nights=min(setting.nights, 500))).reshape(-1, CASES)
    return fmean(adjusted(list(row))[FALLEN] <= LEVEL for row in found)


def _p_values(setting: Setting) -> Floats:
    base = draw(setting, setting.base, BASE_NIGHTS * setting.replicates, salt=1)
    new = draw(setting, setting.new, setting.replicates, salt=2)
    rows = setting.nights * CASES
    return tests(base.reshape(rows, -1), new.reshape(rows, -1), np.full(rows, setting.concentration)).low


def _contrasts(setting: Setting) -> list[Contrast]:
    base = draw(setting, setting.base, BASE_NIGHTS * setting.replicates, salt=1).reshape(setting.nights * CASES, -1)
    new = draw(setting, setting.new, setting.replicates, salt=2).reshape(setting.nights * CASES, -1)
    return [
        Contrast(key=_KEY, base=tuple(before / EPISODES), new=tuple(after / EPISODES), episodes=EPISODES)
        for before, after in zip(base, new, strict=True)
    ]


def _typical(replicates: int) -> Contrast:
    """Return a case whose programs solve 0.9 on average."""
    return Contrast(key=_KEY, base=(0.9,) * BASE_NIGHTS * replicates, new=(0.9,) * replicates, episodes=EPISODES)


def _rate(solved: Ints) -> Floats:
    """Return the mean rate of each case and night. A case without any program counts as perfect."""
    counted = (solved >= 0).sum(axis=2)
    return np.where(counted, solved.clip(min=0).sum(axis=2) / np.maximum(counted, 1) / EPISODES, 1.0)


def _pooled(solved: Ints) -> tuple[Ints, Ints]:
    """Return the solved and the played episodes of each case and night, as if programs did not matter."""
    return solved.clip(min=0).sum(axis=2), (solved >= 0).sum(axis=2) * EPISODES


def _share(found: np.ndarray) -> str:
    return f"{found.mean():.2f}"


def main() -> bool:
    """Print all figures. Return whether the promise on false alarms is kept."""
    steps: tuple[Callable[[], None], ...] = (
        power,
        power_of_groups,
        saved_sessions,
        other_promises,
        whole_nights,
        betting,
    )
    start = time.monotonic()
    fine = false_alarms() & false_alarms_of_costs() & false_discoveries()
    for step in steps:
        step()
    print(f"({time.monotonic() - start:.0f} s)")
    return fine


if __name__ == "__main__":
    sys.exit(not main())
