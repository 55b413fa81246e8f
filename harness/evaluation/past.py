"""What a graded case was made of, from the files of its run: its environment, its held-out seeds, its conditions."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from harness.case_folder import CaseFolder
from harness.environment_conf import EnvironmentConf
from harness.environments.factory import version_of
from harness.environments.fingerprint import fingerprint
from harness.environments.hosted import HostedEnvironment
from harness.evaluation.packages import installed_packages
from harness.evaluation.playing import Episode
from harness.evaluation.seeds import digest, episode_seeds
from harness.malformed import MALFORMED
from harness.packaged import harness_version
from harness.results.begun import Begun
from harness.results.conditions import conditions_of
from harness.results.record import Record
from harness.seed_key import PUBLIC, SeedKey, key_file, private_key

_OWN_FIELDS = ("kind", "interpreter", "memory_mb", "call_s", "start_s")
"""The fields of an environment that decide how it runs. Those that decide what it is are in the record."""

_DIGEST = "sha256:"
"""How `run.json` begins a value that is too long for it."""


class PastUnknown(Exception):
    """The files of a run, and this machine, do not tell something of a case. The message says what, and what to do."""


def past_environment(record: Record, begun: Begun | None, now: Mapping[str, EnvironmentConf]) -> EnvironmentConf:
    """Return the configuration of the environment that a case was graded with.

    The record and `run.json` tell it. What they leave out is taken from the project's configuration of `now`, by the
    names of environments. Raise `PastUnknown` if that does not have it either.
    """
    name = record.case.environment
    known = {} if begun is None else begun.configuration
    own = {field: known.get(f"environment.{name}.{field}", _DIGEST) for field in _OWN_FIELDS}
    own = {field: value for field, value in own.items() if not str(value).startswith(_DIGEST)}
    if name not in now and "kind" not in own:
        raise PastUnknown(
            f"the run does not tell what environment {name} is, and there is no conf/environment/{name}.yaml"
        )
    base = msgspec.to_builtins(now[name]) if name in now else {"name": name}
    told = {
        "arguments": record.environment_arguments,
        "max_steps": record.max_steps,
        "solved_when": record.solved_when,
        "counts": record.counts,
    }
    told = {field: value for field, value in told.items() if value is not None}
    try:
        return msgspec.convert({**base, **own, **told}, EnvironmentConf)
    except msgspec.ValidationError as error:
        raise PastUnknown(f"the run has no usable configuration of environment {name}: {error}") from error


def past_seeds(record: Record, salts: Iterable[int]) -> Sequence[int]:
    """Return the held-out seeds of a case, derived again from the key. `salts` are guesses of `evaluation.seed`.

    Raise `PastUnknown` if nothing was graded, or if this machine does not have the key, and `ConfError` if it has one
    that cannot be read.
    """
    if record.score is None or record.seeds_digest is None:
        raise PastUnknown(f"{record.case.id} was not graded ({record.ending}), so it has no episodes")
    key = _key_of(record)
    for salt in dict.fromkeys(salts):
        seeds = episode_seeds(key, record.case.environment, record.score.episodes, salt=salt)
        if digest(key, seeds) == record.seeds_digest:
            return seeds
    raise PastUnknown(
        f"the held-out episodes of {record.case.id} are others than those of evaluation.seed="
        f"{', '.join(map(str, dict.fromkeys(salts)))}: the run does not tell which number it had"
    )


def _key_of(record: Record) -> SeedKey:
    if record.seed_key == PUBLIC.digest:
        return PUBLIC
    needed = f"the held-out seeds of {record.case.id} derive from a private seed with the digest {record.seed_key}"
    key = private_key()
    if key is None:
        raise PastUnknown(f"{needed}, and this machine has none: set PROCTOR_SEED, or copy it to {key_file()}")
    if key.digest != record.seed_key:
        raise PastUnknown(f"{needed}, and {key.place} holds another one, with the digest {key.digest}")
    return key


def past_episodes(files: CaseFolder) -> list[Episode]:
    """Return the episodes of a case. Raise `PastUnknown` if the file cannot be read."""
    try:
        return msgspec.json.Decoder(Episode).decode_lines(files.episodes.read_bytes())
    except OSError as error:
        raise PastUnknown(f"{files.episodes}: {error.strerror}") from error
    except MALFORMED as error:
        raise PastUnknown(f"{files.episodes} is damaged: {error}") from error


def changed(record: Record, files: CaseFolder, conf: EnvironmentConf, environment: HostedEnvironment) -> list[str]:
    """Return the conditions of an episode that have changed since a case was graded, each as a line."""
    then = conditions_of(record)
    now = {
        "environment": version_of(conf, harness_version()),
        "fingerprint": fingerprint(conf, environment).digest,
        "harness": harness_version(),
        "python": platform.python_version(),
    }
    lines = [
        f"{name}: {then[name]} then, {value} now"
        for name, value in now.items()
        if then.get(name) is not None and then[name] != value
    ]
    return lines + list(_changed_packages(files, conf))


def _changed_packages(files: CaseFolder, conf: EnvironmentConf) -> Iterator[str]:
    if conf.interpreter is not None:  # its packages are not recorded
        return
    try:
        then: dict[str, Any] = msgspec.json.decode(files.packages.read_bytes(), type=dict[str, Any])
    except (OSError, *MALFORMED):
        return
    now = installed_packages()
    for name in sorted({*then, *now}, key=str.lower):
        if then.get(name) != now.get(name):
            yield f"package {name}: {then.get(name, 'nothing')} then, {now.get(name, 'nothing')} now"
