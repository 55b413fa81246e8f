"""What a result depends on besides the case itself. Two results under the same conditions may be compared."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from harness.case import LOCAL_KINDS, Case
from harness.grading import EvaluationConf
from harness.results.record import Record

UNLIMITED = "no limit"
"""The value of a limit that is not set."""

OPTIONS = ("backend.", "evaluation.", "provider.", "sandbox.", "server.")
"""How the names of options begin. Only options that are set are conditions."""

OF_REQUESTS = frozenset({"api", "sampling", "tools_sent"})
"""The conditions that are known only if the CLI has asked its model. A session that never asked differs in none."""

_ONLY_PAUSES = frozenset({"wait_s", "retry_s", "grace_s"})
"""Limits on pauses between and after sessions. They change how long a case takes, and not what the agent can do."""

_HOW_TO_RUN = frozenset({"executable", "log_level"})
"""Options of CLIs that change no answer. The path of a CLI has a condition of its own."""

_HOW_TO_SERVE = frozenset({"executable", "pull", "download", "models", "keep_alive", "start_s", "load_s"})
"""Options of model servers about finding, fetching and loading. They change no answer."""

_WHICH_WEIGHTS = frozenset({"file", "weights", "revision"})
"""Options that name the weights. They count only if the server has started and the digest is not known."""


class Circumstances(Struct, frozen=True, kw_only=True):
    """The conditions that become known while a case runs. Each is null until it is known.

    `fingerprint` is that of the environment. `python` is the version of the interpreter that runs the environment and
    the submission. `server` is the program that served the model and its version, and `server_context` the tokens of
    context that it gave. `gpu_driver` is the version of the driver of the GPUs that Proctor started it on. `api` is the
    version of the API that the CLI asked. `tools_sent` is a digest of the names of all tools that the CLI offered its
    model, and of the schemas of their arguments. `sampling` are the settings of sampling that the CLI sent.
    """

    fingerprint: str | None = None
    python: str | None = None
    server: str | None = None
    server_context: int | None = None
    gpu_driver: str | None = None
    api: str | None = None
    tools_sent: str | None = None
    sampling: str | None = None


def with_conditions(record: Record, case: Case, found: Circumstances) -> Record:
    """Return the record with its conditions, and one digest of them all."""
    unknown = record.versions.cli is not None and record.versions.model_digest is None
    conditions = {
        **_recorded(record),
        **_configured(case, unknown_weights=unknown),
        **{name: _text(value) for name, value in msgspec.structs.asdict(found).items()},
    }
    conditions = {name: conditions[name] for name in sorted(conditions)}
    digest = hashlib.sha256(msgspec.json.encode(conditions)).hexdigest()
    return msgspec.structs.replace(record, conditions=conditions, conditions_digest=digest)


def conditions_of(record: Record) -> Mapping[str, str | None]:
    """Return the conditions of a record, by name. A value is null if the record does not know it.

    A record of an older version keeps no conditions. Then they are those that its other fields tell.
    """
    if record.conditions:
        return record.conditions
    told = _recorded(record)
    if told["seed_key"] is None:  # an older version has not recorded it
        del told["seed_key"]
    return told


def _recorded(record: Record) -> dict[str, str | None]:
    """Return the conditions that are in other fields of the record.

    Replicates of a case in one run have the same conditions. So what varies between them is left out: times, usage, the
    submission, and the number of attempts. The names in the case are left out too, since only equal cases are compared.
    """
    versions, digests = record.versions, record.digests
    return {
        **_counts(record),
        "cli": versions.cli,
        "cli_path": versions.cli_path,
        "environment": versions.environment,
        "environment_arguments": _text(record.environment_arguments),
        "harness": versions.harness,
        "instructions": digests.instructions,
        **_limits(record),
        "max_steps": _text(record.max_steps),
        "model_digest": versions.model_digest,
        "pass_solve_rate": _text(record.pass_solve_rate),
        "prompt": digests.prompt,
        "provider": record.case.provider,
        "sandbox": versions.sandbox,
        "scripted": _text(record.scripted),
        "seed_key": record.seed_key,
        "seeds_digest": record.seeds_digest,
        "solved_when": record.solved_when,
        "tools": digests.tools,
        "visibility": record.visibility,
    }


def _counts(record: Record) -> dict[str, str | None]:
    """Return the numbers of objects. Other environments have no such conditions."""
    if record.counts is None:
        return {}
    return {"counts": _text(record.counts), "held_out_counts": record.counts_digest}


def _limits(record: Record) -> dict[str, str | None]:
    limits = msgspec.structs.asdict(record.limits)
    return {
        f"limits.{name}": UNLIMITED if value is None else _text(value)
        for name, value in limits.items()
        if name not in _ONLY_PAUSES
    }


def _configured(case: Case, *, unknown_weights: bool) -> dict[str, str | None]:
    """Return the conditions that only the configuration tells."""
    backend = {name: value for name, value in case.backend.options.items() if name not in _HOW_TO_RUN}
    sandbox = msgspec.structs.asdict(case.sandbox)
    own_limits = {name: value for name, value in sandbox.items() if name not in {"name", "kind", "options"}}
    return {
        "context": _text(case.model.context),
        "episode_wall_s": _text(case.evaluation.episode_wall_s),
        "model": case.model.asked_as,
        "wire": f"{case.wire} as {case.translated}" if case.translated else case.wire,
        **_options("backend", backend),
        **_options("evaluation", _of_evaluation(case.evaluation)),
        **_options("provider", {"base_url": case.provider.base_url}),
        **_options("sandbox", {**own_limits, **case.sandbox.options}),
        **_options("server", _of_server(case, unknown_weights=unknown_weights)),
    }


def _of_evaluation(conf: EvaluationConf) -> dict[str, Any]:
    """Return the options of grading that are set."""
    return {"carry_over": conf.carry_over or None, "step_wall_s": conf.step_wall_s, "wall_s": conf.wall_s}


def _of_server(case: Case, *, unknown_weights: bool) -> dict[str, Any]:
    """Return the options of a model server on this machine, as it was started."""
    if case.provider.kind not in LOCAL_KINDS:
        return {}
    left_out = _HOW_TO_SERVE | (frozenset() if unknown_weights else _WHICH_WEIGHTS)
    options = {**case.provider.options, **case.model.server}
    kept = {name: value for name, value in options.items() if name not in left_out}
    return {"gpus": case.model.gpus, "parallel": case.model.parallel, **kept}


def _options(group: str, options: Mapping[str, Any]) -> dict[str, str | None]:
    """Return the options that are set, by names that begin with the group's."""
    return {f"{group}.{name}": _text(value) for name, value in options.items() if value is not None}


def _text(value: object) -> str | None:
    """Return a value as text that is equal if the value is. Numbers are written as in JSON, and keys are sorted."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return msgspec.json.encode(value, order="sorted").decode()
