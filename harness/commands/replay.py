"""`proctor replay`: plays a recorded episode again, says whether everything is as it was, and shows it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import yaml
from msgspec import Struct
from PIL import Image

from harness.case_folder import CaseFolder
from harness.commands.chosen import chosen
from harness.commands.errors import BadInput
from harness.commands.stepping import needs_terminal, step_through
from harness.conf_path import ConfPath
from harness.endings import ConfError
from harness.environment_conf import EnvironmentConf
from harness.environments.factory import make_environment
from harness.environments.hosted import HostedEnvironment
from harness.environments.hosts import EnvironmentFailed
from harness.environments.rendering import render_fault
from harness.evaluation.animation import small, write_gif
from harness.evaluation.held_out import HeldOutFault
from harness.evaluation.past import PastUnknown, changed, past_environment, past_episodes, past_seeds
from harness.evaluation.playing import Episode, EpisodeOutcome
from harness.evaluation.recording import Recording
from harness.evaluation.recordings import RecordingMissing, recorded_episodes, recording_of
from harness.evaluation.replay import Replay
from harness.results.begun import read_begun
from harness.results.record import Record
from harness.results.references import find_runs
from harness.results.runs import RunError, read_run
from harness.suite.config import load_environments
from harness.visible import visible

_EXAMPLES = """\
RUN is the folder of a run, its name, latest, last or tag:NAME. CASE is the id of a case, the name of its folder, or a
part of the id that no other case has. EPISODE is a number, or `solved` or `unsolved` for the first of such.

  proctor replay latest claude-scripted-small_maze unsolved --gif unsolved.gif

Exit status: 0 if the replay is equal to the record, 1 if it differs or the environment fails, 2 for bad input.
"""

_GIF_SIDE = 480
_GIF_FRAMES = 200


class Past(Struct, frozen=True):
    """An episode that was graded: its case, its seed, what is recorded of it, and the environment of the case."""

    record: Record
    files: CaseFolder
    episode: Episode
    recording: Recording
    conf: EnvironmentConf
    seeds: Sequence[int]
    episode_wall_s: float

    def replay(self, environment: HostedEnvironment, recording: Recording | None = None) -> Replay:
        """Return a new replay of the episode, which is compared with `recording`, or with its own."""
        return Replay(
            environment,
            recording or self.recording,
            seed=self.seeds[self.episode.index],
            solved=self.episode.outcome is EpisodeOutcome.SOLVED,
            limit_s=self.episode_wall_s + environment.call_s,
            count=self.episode.count,
        )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `proctor replay`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EXAMPLES
    parser.add_argument("run", metavar="RUN")
    parser.add_argument("case", metavar="CASE")
    parser.add_argument("episode", metavar="EPISODE")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"), metavar="DIR", help="default: runs")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--gif", type=Path, metavar="FILE", help="write an animation")
    form.add_argument("--png", type=Path, metavar="FOLDER", help="write a picture of each step")
    form.add_argument("--interactive", action="store_true", help="go through the steps in the terminal, by keys")


def run(given: argparse.Namespace) -> int:
    """Replay the episode. Return 1 if it differs from the record, or the environment fails. Raise `BadInput`."""
    if given.interactive:
        needs_terminal()
    try:
        past = _find(given)
        environment = make_environment(past.conf)
    except (RunError, PastUnknown, RecordingMissing, ConfError, ValueError) as error:
        raise BadInput(visible(str(error))) from error
    except EnvironmentFailed as error:
        return _failed(error)
    with closing(environment):
        try:
            return _replay(past, environment, given)
        except EnvironmentFailed as error:
            return _failed(HeldOutFault(error, past.seeds))


def _failed(error: EnvironmentFailed) -> int:
    details = getattr(error, "details", "")
    print(f"proctor: {visible(str(error))}", *filter(None, [visible(details)]), sep="\n", file=sys.stderr)
    return 1


def _find(given: argparse.Namespace) -> Past:
    """Return the episode that is asked for. Raise `BadInput` and what its sources raise."""
    found = find_runs(given.run, given.runs_dir)
    if len(found) > 1:
        raise BadInput(f"{given.run}: RUN must be one run, and these are {len(found)}")
    folder, records = read_run(found[0])
    record = _record(records, given.case, folder)
    files = CaseFolder(folder / str(record.artifacts))
    begun = read_begun(folder)
    conf_path = ConfPath.of(Path.cwd())
    settings = {} if begun is None else begun.configuration
    seeds = past_seeds(record, _salts(settings.get("evaluation.seed"), conf_path))
    episode = _episode(past_episodes(files), files, given.episode)
    return Past(
        record=record,
        files=files,
        episode=episode,
        recording=recording_of(files.actions, episode.index),
        conf=past_environment(record, begun, load_environments(conf_path)),
        seeds=seeds,
        episode_wall_s=float(settings.get("evaluation.episode_wall_s", 60.0)),
    )


def _record(records: Sequence[Record], name: str, run: Path) -> Record:
    """Return the record of a case that left a folder. Raise `BadInput`."""
    record = chosen(records, name, run)
    if not record.artifacts or not (run / record.artifacts).is_dir():
        raise BadInput(f"{record.case.id} left no folder in {run}, so there is nothing to replay")
    return record


def _salts(told: object, conf_path: ConfPath) -> Iterator[int]:
    """Yield what `evaluation.seed` may have been: what the run tells, else what the project has now, else 0."""
    if isinstance(told, int):
        yield told
        return
    for path in conf_path.every("config.yaml"):
        document = yaml.safe_load(path.read_text()) or {}
        salt = (document.get("evaluation") or {}).get("seed")
        yield from [salt] if isinstance(salt, int) else []
    yield 0


def _episode(episodes: Sequence[Episode], files: CaseFolder, asked: str) -> Episode:
    """Return the episode that is asked for: a number, `solved` or `unsolved`. Raise `BadInput`."""
    if asked in {"solved", "unsolved"}:
        such = [one for one in episodes if (one.outcome is EpisodeOutcome.SOLVED) == (asked == "solved")]
        if not such:
            raise BadInput(f"no episode of this case is {asked}")
        recorded = set(recorded_episodes(files.actions))
        return next((one for one in such if one.index in recorded), such[0])
    found = [episode for episode in episodes if str(episode.index) == asked]
    if not found:
        count = len(episodes)
        there = f"0 to {count - 1}, solved or unsolved" if count else "but there is none: nothing was handed in"
        raise BadInput(f"EPISODE must be {there}; got {asked!r}")
    return found[0]


def _replay(past: Past, environment: HostedEnvironment, given: argparse.Namespace) -> int:
    drawn = given.gif is not None or given.png is not None
    fault = render_fault(past.conf, environment) if drawn or given.interactive else None
    if drawn and fault is not None:
        raise BadInput(f"environment {past.conf.name} cannot be drawn here: {visible(fault)}")
    print(_told(past))
    with past.replay(environment) as replay:
        if given.gif is not None:
            _write_gif(replay, len(past.recording.actions), given.gif)
        elif given.png is not None:
            _write_pngs(replay, len(past.recording.actions), given.png)
        elif given.interactive:
            step_through(replay, len(past.recording.actions), pictures=fault is None)
        if not drawn:
            replay.begin()
            replay.advance()
        return _compare(past, environment, replay)


def _told(past: Past) -> str:
    """Return in a line what the record says of the episode."""
    episode = past.episode
    error = f": {episode.error.strip().splitlines()[-1]}" if episode.error and episode.error.strip() else ""
    what = f"{episode.outcome} after {episode.steps} steps, return {episode.reward:g}"
    return visible(f"{past.record.case.id}, episode {episode.index}: {what}{error}")


def _compare(past: Past, environment: HostedEnvironment, replay: Replay) -> int:
    """Print whether the replay is equal, and if not, where it differs and what has changed. Return the exit status."""
    if replay.divergence is None:
        left_out = past.recording.left_out
        rest = f"; the last {left_out} steps are not recorded, so they were not replayed" if left_out else ""
        print(f"The replay is equal: {replay.step} rewards and {replay.step + 1} observations{rest}.")
        return 0
    print(f"The replay differs. {visible(replay.divergence.told[0].upper() + replay.divergence.told[1:])}.")
    lines = changed(past.record, past.files, past.conf, environment)
    print("Changed since it was graded:" if lines else "No condition that Proctor knows has changed.")
    for line in lines:
        print(f"  {visible(line)}")
    with past.replay(environment, replay.played()) as again:
        again.begin()
        again.advance()
    if again.divergence is not None:
        print(f"The environment is not deterministic: a second replay differs from the first, {again.divergence.told}.")
    return 1


def _write_gif(replay: Replay, steps: int, path: Path) -> None:
    count = min(_GIF_FRAMES - 1, steps)
    replay.begin()
    images: list[Image.Image] = [small(replay.picture(), _GIF_SIDE)]
    for number in range(1, count + 1):
        replay.advance(number * steps // count - replay.step)
        images.append(small(replay.picture(), _GIF_SIDE))
        if replay.over:
            break
    size = write_gif(path, images)
    print(f"{path}: {len(images)} pictures, {size / 1000:.0f} kB")


def _write_pngs(replay: Replay, steps: int, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise BadInput(f"{folder} is not empty: name a new folder")
    replay.begin()
    while True:
        Image.fromarray(replay.picture()).save(folder / f"step-{replay.step:0{len(str(steps))}d}.png")
        if replay.over or replay.step >= steps:
            break
        replay.advance(1)
    print(f"{folder}: {replay.step + 1} pictures")
