"""The data of one comparison: what the programs of one case measured in both runs."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from msgspec import Struct

from harness.verdict.paired import flips
from harness.verdict.spread import Programs
from harness.verdict.trials import CaseKey, Measure, Trial, values


class Paired(Struct, frozen=True):
    """The same program on the same episodes in both runs. The numbers are indices of episodes that flipped."""

    lost: tuple[int, ...]
    won: tuple[int, ...]
    pairs: int


class Contrast(Struct, frozen=True, kw_only=True):
    """One case in both runs, by one measure.

    `nights` names the run of each old program. `paired` is null unless one program faced the same episodes twice.
    """

    key: CaseKey
    base: tuple[float, ...]
    new: tuple[float, ...]
    episodes: int
    nights: tuple[str, ...] = ()
    paired: Paired | None = None

    @property
    def difference(self) -> float:
        """The mean of the new programs minus that of the old ones."""
        return fmean(self.new) - fmean(self.base)

    def programs(self) -> Programs:
        """Return the programs of both runs together, so that it does not matter which run a program is from."""
        return Programs((*self.base, *self.new), self.episodes)


def contrast(base: Sequence[Trial], new: Sequence[Trial], measure: Measure) -> Contrast | None:
    """Return the data of a case by one measure. Return null if one side measured nothing."""
    before, after = values(base, measure), values(new, measure)
    if not before or not after:
        return None
    episodes = min(trial.episodes for trial in (*base, *new) if not trial.missing)
    paired = _paired(base, new) if measure is Measure.SOLVE_RATE else None
    return Contrast(
        key=new[0].key,
        base=tuple(before),
        new=tuple(after),
        episodes=max(1, episodes),
        nights=tuple(trial.run for trial in base if trial.value(measure) is not None),
        paired=paired,
    )


def _paired(base: Sequence[Trial], new: Sequence[Trial]) -> Paired | None:
    """Pair the flags of one program on both sides, episode by episode. Return null if programs or seeds vary.

    Programs do not vary if the model's answers were written beforehand, or if all submissions are the same.
    """
    trials = [trial for trial in (*base, *new) if not trial.missing]
    one_program = all(trial.fixed for trial in trials) or len({trial.program or id(trial) for trial in trials}) == 1
    same_seeds = len({trial.seeds or id(trial) for trial in trials}) == 1
    before, after = _latest_flags(base), _latest_flags(new)
    if not (one_program and same_seeds) or before is None or after is None or len(before) != len(after):
        return None
    lost, won = flips(before, after)
    return Paired(tuple(lost), tuple(won), len(after))


def _latest_flags(trials: Sequence[Trial]) -> tuple[bool, ...] | None:
    """Return the flags of the newest trial: repetitions of one program on the same episodes add no evidence."""
    return next((trial.solved for trial in reversed(trials) if trial.solved), None)
