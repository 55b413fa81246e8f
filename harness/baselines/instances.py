"""Runs an agent for each instance that its program must solve, and grades each program on its own instance."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from msgspec.structs import replace

from harness.adapters import instance_options
from harness.agent.attempt import AttemptResult
from harness.agent.files import set_aside
from harness.agent.retry import remaining
from harness.agent.setup import SessionSetup
from harness.case import Case, Limits
from harness.case_folder import CaseFolder
from harness.endings import ENDINGS, Ending
from harness.environments.base import Plain
from harness.environments.hosted import HostedEnvironment, HostedProcess
from harness.environments.hosts import EnvironmentFailed
from harness.evaluation.counts import counts_digest
from harness.evaluation.held_out import HeldOutFault
from harness.evaluation.lanes import Scheduled
from harness.evaluation.playing import Episode, EpisodeOutcome
from harness.evaluation.printed import PolicyLog
from harness.evaluation.rollout import play_schedule, schedule_of, score
from harness.evaluation.seeds import HeldOutSeeds, digest, episode_seeds
from harness.evaluation.submission import REQUIRED, Submission, collect, digest_of
from harness.evaluation.summary import summarize
from harness.grading import Score
from harness.live.line import Live
from harness.pipeline import run_agent
from harness.results.record import InstanceRecord
from harness.results.record_builder import RecordBuilder
from harness.results.usage import total_usage
from harness.sandbox.dirs import SandboxDirs
from harness.seed_key import SeedKey
from harness.untrusted.removal import discard

_SHARED: Final = {
    "turns": Ending.TURN_LIMIT,
    "tokens": Ending.TOKEN_LIMIT,
    "cost_usd": Ending.COST_LIMIT,
    "wall_s": Ending.WALL_LIMIT,
}
"""The limits that all sessions of a case share, and the ending of a case that has used one up."""

_MOST_SHOWN: Final = 60_000
"""How many characters of an observation the prompt has."""

_FIRST: Final = "harness.evaluation.playing:first_observation"

_TASK: Final = """
# The instance

This is instance {number} of {count}. Your program is graded on one episode only. It begins with this observation, shown
as JSON:

```json
{{% raw %}}{observation}{{% endraw %}}

```

The limits are shared by the sessions of all {count} instances, one after the other.
"""


def run_instances(
    builder: RecordBuilder, setup: SessionSetup, environment: HostedEnvironment, live: Live, key: SeedKey
) -> tuple[AttemptResult, Submission]:
    """Run a session of the agent for each instance, one after the other, within the limits of the case.

    Return the attempt that decides the case, and all submissions as one: that of an instance is in a folder whose name
    is the number of its episode. The first ending that leaves nothing to grade ends the case. Once a limit is used up,
    the other instances are left out. An agent learns the first observation of its instance, and never the seed. Raise
    `HeldOutFault` if the environment fails when it is reset.
    """
    case = setup.case
    observations = _observations(environment, _schedule(case, environment, key))
    collected: dict[int, Submission] = {}
    began = time.monotonic()
    for index, observation in enumerate(observations):
        waited = builder.timing.get("waited_s") or 0.0
        elapsed = time.monotonic() - began - waited
        if index and (limit := _used_up(setup, elapsed)) is not None:
            builder.end(limit, f"a limit was used up after {index} of {len(observations)} instances")
            break
        if index:
            set_aside(setup.dirs.folder, len(builder.attempts), fresh=True)
        live.show(f"{case.id}: instance {index + 1} of {len(observations)}")
        limits = replace(case.limits, wall_s=case.limits.wall_s - elapsed, wait_s=max(0.0, case.limits.wait_s - waited))
        told = replace(setup, case=_about(case, limits, index, observation, len(observations)))
        result = _run(builder, told, environment, live, index)
        if not ENDINGS[result.ending].graded:
            break
        collected[index] = collect(setup.dirs.workspace, builder.folder.submission / _name(index))
        discard(setup.dirs.home)
    for index in range(len(builder.instances), len(observations)):
        builder.instances.append(InstanceRecord(index=index, explanation=f"not attempted: {builder.explanation}"))
    builder.save()
    return result, _joined(builder.folder, collected)


def _run(
    builder: RecordBuilder, setup: SessionSetup, environment: HostedEnvironment, live: Live, index: int
) -> AttemptResult:
    """Run the session of one instance, and note it in the record. The record has the digests of the first prompt."""
    before, digests = len(builder.attempts), builder.digests
    result = run_agent(builder, setup, environment, live)
    builder.digests = digests if index else builder.digests
    made = builder.attempts[before:]
    builder.instances.append(
        InstanceRecord(
            index=index,
            ending=result.ending,
            explanation=result.explanation,
            attempts=len(made),
            usage=total_usage(made),
        )
    )
    return result


def _seeds(case: Case, key: SeedKey) -> HeldOutSeeds:
    count = instance_options(case.backend).instances or case.evaluation.scheduled
    return episode_seeds(key, case.environment.name, count, salt=case.evaluation.seed)


def _schedule(case: Case, environment: HostedEnvironment, key: SeedKey) -> list[Scheduled]:
    return schedule_of(environment, _seeds(case, key))


def _observations(environment: HostedEnvironment, schedule: list[Scheduled]) -> list[str]:
    """Return the first observation of each instance as JSON. A process of its own has them, and then ends.

    Raise `HeldOutFault` if the environment fails.
    """
    process = environment.another()
    try:
        return [_shown(_first(process, one)) for one in schedule]
    except EnvironmentFailed as error:
        raise HeldOutFault(error, [one.seed for one in schedule]) from None
    finally:
        process.close()


def _shown(observation: Plain) -> str:
    text = json.dumps(_without_seeds(observation), default=np.ndarray.tolist)
    text = text.replace("{%", "{ %")  # no part of it is a template
    if len(text) <= _MOST_SHOWN:
        return text
    return f"{text[:_MOST_SHOWN]}\n(cut here: the observation has {len(text)} characters)"


def _without_seeds(value: Any) -> Any:
    """Return plain data without any entry that is named `seed`."""
    if isinstance(value, dict):
        return {key: _without_seeds(part) for key, part in value.items() if str(key).lower() != "seed"}
    return [_without_seeds(part) for part in value] if isinstance(value, list) else value


def _first(process: HostedProcess, one: Scheduled) -> Plain:
    """Return the first observation of an instance."""
    process.prepare(one.count)
    observation: Plain = process.ask("run", _FIRST, {"seed": one.seed, "count": one.count})
    return observation


def _about(case: Case, limits: Limits, index: int, observation: str, count: int) -> Case:
    """Return the case as the session of one instance has it. `limits` are what is left of its times."""
    task = case.prompt.task + _TASK.format(number=index + 1, count=count, observation=observation)
    return replace(
        case,
        prompt=replace(case.prompt, task=task),
        limits=limits,
        evaluation=replace(case.evaluation, episodes=1),
    )


def _used_up(setup: SessionSetup, elapsed: float) -> Ending | None:
    """Return the ending of a case whose sessions have used up a limit, or `None`."""
    if setup.budget.passed is not None:
        return Ending(setup.budget.passed)
    left = remaining(setup.case.limits, setup.budget, elapsed)
    amounts = {ending: getattr(left, name) for name, ending in _SHARED.items()}
    return next((ending for ending, amount in amounts.items() if amount is not None and amount <= 0), None)


def _name(index: int) -> str:
    return f"{index:03}"


def _joined(folder: CaseFolder, collected: dict[int, Submission]) -> Submission:
    """Return the submissions of all instances as one."""
    files = {f"{_name(index)}/{name}": sha for index, one in collected.items() for name, sha in one.files.items()}
    return Submission(
        path=folder.submission,
        files=files,
        digest=digest_of(files),
        left_out=tuple(f"{_name(index)}: {line}" for index, one in collected.items() for line in one.left_out),
        reason=None if files else next((one.reason for one in collected.values()), "no submission: no session ran"),
    )


def grade_instances(
    builder: RecordBuilder,
    environment: HostedEnvironment,
    dirs: SandboxDirs,
    submission: Submission,
    live: Live,
    key: SeedKey,
) -> Score:
    """Play each instance with the program that was written for it, and return the score over all instances.

    An instance without a program counts as unsolved, and `episodes.jsonl` says why. Raise `HeldOutFault` if the
    environment fails.
    """
    case, folder = builder.case, builder.folder
    schedule = _schedule(case, environment, key)
    builder.seed_key, builder.seeds_digest = key.digest, digest(key, _seeds(case, key))
    builder.counts_digest = counts_digest(key, environment.counts)
    log = PolicyLog(folder.policy_log)
    episodes: list[Episode] = []
    with builder.timed("evaluation_s"), folder.episodes.open("wb") as lines:
        for instance, one in zip(builder.instances, schedule, strict=True):
            live.show(f"{case.id}: episode {one.index} of {len(schedule)}")
            program = submission.path / _name(one.index)
            if (program / REQUIRED).is_file():
                episodes.append(_play(builder, environment, dirs, program, one, log))
            else:
                lack = f"no submission: {REQUIRED} is missing" if instance.attempts else instance.explanation
                episodes.append(one.unplayed(EpisodeOutcome.UNSOLVED, lack))
            lines.write(msgspec.json.encode(episodes[-1]) + b"\n")
    builder.instances = [
        replace(one, outcome=str(episode.outcome)) for one, episode in zip(builder.instances, episodes, strict=True)
    ]
    builder.score = found = _score(builder, episodes, environment)
    doubt = environment.doubt()
    builder.warnings += [doubt] if doubt else []
    if found.solve_rate < case.environment.pass_solve_rate:
        why = summarize(found, episodes, case.environment.pass_solve_rate)
        builder.end(builder.ending, why if builder.ending is Ending.FINISHED else f"{why}; {builder.explanation}")
    builder.save()
    return found


def _play(
    builder: RecordBuilder,
    environment: HostedEnvironment,
    dirs: SandboxDirs,
    program: Path,
    scheduled: Scheduled,
    log: PolicyLog,
) -> Episode:
    with builder.folder.scratch() as scratch:
        shutil.copytree(program, scratch / "submission")
        files = CaseFolder(scratch / "files")
        files.make()
        _, [episode] = play_schedule(
            environment,
            Submission(path=scratch / "submission", files={}, digest="", left_out=(), reason=None),
            dirs.sandbox,
            conf=builder.case.evaluation,
            schedule=[scheduled],
            scratch=scratch,
            files=files,
            log=log,
            progress=lambda done, scheduled: None,  # noqa: ARG005 - it is one episode
        )
    return episode


def _score(builder: RecordBuilder, episodes: list[Episode], environment: HostedEnvironment) -> Score:
    """Return the score over all instances. The means are those of the episodes that were played."""
    played = [one for one, instance in zip(episodes, builder.instances, strict=True) if instance.attempts]
    means = score(played) if played else None
    return replace(
        score(episodes, environment.counts.design if environment.counts else ()),
        mean_steps=means.mean_steps if means else None,
        mean_reward=means.mean_reward if means else None,
    )
