"""A run as a log of Inspect (https://inspect.aisi.org.uk): an `.eval` file, which is an archive of JSON files.

Each case is a sample, and each replicate of it an epoch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

from msgspec import Struct

from harness.endings import Cause, Ending
from harness.exports.cases import ExportedCase, exported_cases
from harness.exports.files import written
from harness.exports.inspect_messages import InspectTranscript, Json, known, model_usage
from harness.exports.plain import json_bytes
from harness.exports.timeline import TimedCase, iso, timed_case
from harness.packaged import harness_version
from harness.report.table import seconds, used
from harness.results.claims import is_running
from harness.results.record import Record
from harness.results.run_folder import suite_of

_VERSION = 2
_THIN = 1000
"""How many characters of the input the list of samples shows."""

_LIMITS = {
    Ending.TURN_LIMIT: ("turn", "turns"),
    Ending.TOKEN_LIMIT: ("token", "tokens"),
    Ending.COST_LIMIT: ("cost", "cost_usd"),
    Ending.WALL_LIMIT: ("time", "wall_s"),
    Ending.IDLE_LIMIT: ("custom", "idle_s"),
    Ending.OUTPUT_LIMIT: ("custom", "output_mb"),
    Ending.MEMORY_LIMIT: ("custom", "memory_mb"),
    Ending.PROCESS_LIMIT: ("custom", "processes"),
    Ending.DISK_LIMIT: ("custom", "disk_mb"),
}
"""Inspect's type of each limit, and the name of the limit in the record."""


class _Sampled(Struct, frozen=True):
    """A record with the id and the epoch of its sample. No two of a log have both in common."""

    record: Record
    id: str
    epoch: int


def write_log(run: Path, records: Sequence[Record], path: Path, *, stopped: bool = False) -> int:
    """Write a log of these cases of a run, and return how many samples it has. Skipped cases are none.

    `stopped` says that the run ended before all its cases had run. Raise `OSError` if it cannot be written.
    """
    chosen = _sampled(record for record in records if record.outcome != "skipped")

    def write(place: Path) -> None:
        summaries, usage, ends = list[Json](), list[Json](), list[str]()
        spec = _spec(run, chosen)
        plan = {"name": "proctor", "steps": [{"solver": name, "params": {}} for name in spec["metadata"]["backends"]]}
        with ZipFile(place, "w", ZIP_DEFLATED) as archive:
            archive.writestr("_journal/start.json", json_bytes({"version": _VERSION, "eval": spec, "plan": plan}))
            for one in chosen:
                [case] = exported_cases(run, [one.record])
                sample = _sample(one, case)
                archive.writestr(f"samples/{one.id}_epoch_{one.epoch}.json", json_bytes(sample))
                summaries.append(_summary(sample))
                usage.append(sample["model_usage"])
                ends.append(sample["completed_at"])
            archive.writestr("summaries.json", json_bytes(summaries))
            header = {
                "version": _VERSION,
                "status": _status(run, chosen, stopped),
                "eval": spec,
                "plan": plan,
                "results": _results(chosen),
                "stats": {
                    "started_at": spec["created"],
                    "completed_at": max(ends, default=spec["created"]),
                    "model_usage": _summed(usage),
                },
            }
            archive.writestr("header.json", json_bytes(header))

    written(path, write)
    return len(chosen)


def _status(run: Path, chosen: Sequence[_Sampled], stopped: bool) -> str:
    if is_running(run):
        return "started"
    interrupted = any(one.record.ending is Ending.INTERRUPTED for one in chosen)
    return "cancelled" if stopped or interrupted else "success"


def _sampled(records: Iterable[Record]) -> list[_Sampled]:
    found: dict[tuple[str, int], _Sampled] = {}
    for record in records:
        case, base = record.case, record.case.id.removesuffix(f"-r{record.case.replicate}")
        name, again = base, 1
        while (name, case.replicate) in found:  # another try of the session
            again += 1
            name = f"{base}.{again}"
        found[name, case.replicate] = _Sampled(record, name, case.replicate)
    return list(found.values())


def _spec(run: Path, chosen: Sequence[_Sampled]) -> Json:
    cases = [one.record.case for one in chosen]
    models = sorted({f"{case.provider}/{case.model}" for case in cases})
    name = run.name
    starts = [one.record.started_at for one in chosen if one.record.started_at]
    created = min(starts) if starts else iso(timed_case(ExportedCase(run=name, record=chosen[0].record)).start)
    commits = sorted({one.record.versions.project_commit or "" for one in chosen} - {""})
    commit, dirty = (
        (commits[0].removesuffix("-dirty"), commits[0].endswith("-dirty")) if len(commits) == 1 else ("", False)
    )
    ids = list(dict.fromkeys(one.id for one in chosen))
    return {
        "eval_id": _id(name, "eval"),
        "run_id": _id(name, "run"),
        "created": created,
        "task": suite_of(name) or name,
        "task_id": _id(name, "task"),
        "task_version": 0,
        "dataset": {
            "name": ", ".join(sorted({case.environment for case in cases})),
            "samples": len(ids),
            "sample_ids": ids,
        },
        "model": models[0] if len(models) == 1 else f"proctor/{len(models)}-models",
        "config": {"epochs": max(one.epoch for one in chosen)},
        "packages": {"proctor": harness_version()},
        "viewer": {"trust_content": False},  # agents wrote it: Inspect View shows it as plain text and loads nothing
        "scorers": [{"name": "solve_rate"}, {"name": "passed"}],
        "metadata": {"run": name, "models": models, "backends": sorted({case.backend for case in cases})},
        **({"revision": {"type": "git", "origin": "", "commit": commit, "dirty": dirty}} if commit else {}),
    }


def _sample(one: _Sampled, case: ExportedCase) -> Json:
    record, timed = one.record, timed_case(case)
    talk = InspectTranscript(timed)
    prompt = next((transcript.prompt for transcript in case.transcripts if transcript.prompt), "")
    scores, error, usage = _scores(record), _error(record), used(record)
    for name, score in scores.items():
        talk.event("score", timed.end, None, score=score, scorer=name)
    if error:
        talk.event("error", timed.end, None, error=error)
    counted = usage and model_usage(usage, usage.cost_usd)
    total = seconds(record)
    return {
        "id": one.id,
        "epoch": one.epoch,
        "input": prompt,
        "target": "" if record.pass_solve_rate is None else f"a solve rate of at least {record.pass_solve_rate:g}",
        "messages": talk.messages,
        "output": talk.output or {"model": case.model, "choices": [], "completion": ""},
        "scores": scores,
        "metadata": _metadata(case),
        "events": talk.events,
        "events_data": {"messages": talk.pool, "calls": []},
        "model_usage": {case.model: counted} if counted else {},
        "started_at": iso(timed.start),
        "completed_at": iso(timed.end),
        "uuid": _id(case.run, case.name),
        **known(
            error=error,
            error_retries=_retries(timed) or None,
            limit=_limit(record),
            turn_count=usage.turns if usage else None,
            total_time=total,
            working_time=None if total is None else max(0.0, total - (record.timing.waited_s or 0.0)),
        ),
    }


def _summary(sample: Json) -> Json:
    """Return a sample as the list of samples shows it."""
    names = (
        "id epoch target scores metadata model_usage started_at completed_at total_time working_time uuid turn_count"
    )
    limit, error = sample.get("limit"), sample.get("error")
    return {
        **{name: sample[name] for name in names.split() if name in sample},
        "input": sample["input"][:_THIN],
        "completed": True,
        "message_count": len(sample["messages"]),
        **known(
            error=error and error["message"],
            limit=limit and limit["type"],
            limit_reason=limit and limit["reason"],
            retries=len(sample.get("error_retries", ())) or None,
        ),
    }


def _scores(record: Record) -> dict[str, Json]:
    """Return the scores of a case that was graded."""
    score = record.score
    if score is None:
        return {}
    told = f"{score.solved} of {score.episodes} episodes solved" + (f": {score.reason}" if score.reason else "")
    counts = known(
        episodes=score.episodes,
        solved=score.solved,
        crashed=score.crashed,
        timed_out=score.timed_out,
        mean_steps=score.mean_steps,
        mean_reward=score.mean_reward,
    )
    return {
        "solve_rate": {"value": score.solve_rate, "explanation": told, "metadata": counts},
        "passed": {"value": "C" if record.outcome == "passed" else "I", "answer": record.outcome, "explanation": told},
    }


def _error(record: Record) -> Json | None:
    if record.outcome != "error":
        return None
    return {"message": f"{record.ending}: {record.explanation}", "traceback": "", "traceback_ansi": ""}


def _retries(timed: TimedCase) -> list[Json]:
    """Return the attempts before the last that went wrong."""
    wrong = [one for one in timed.case.record.attempts[:-1] if one.cause not in {Cause.AGENT, Cause.LIMIT}]
    return [{"message": f"{one.ending}: {one.explanation}", "traceback": "", "traceback_ansi": ""} for one in wrong]


def _limit(record: Record) -> Json | None:
    kind, name = _LIMITS.get(record.ending, ("", ""))
    value = getattr(record.limits, name) if name else None
    return None if value is None else {"type": kind, "limit": value, "reason": f"{record.ending}: {record.explanation}"}


def _metadata(case: ExportedCase) -> Json:
    record = case.record
    return known(
        case=record.case.id,
        backend=record.case.backend,
        model=record.case.model,
        provider=record.case.provider,
        environment=record.case.environment,
        outcome=record.outcome,
        ending=record.ending.value,
        cause=record.cause.value,
        explanation=record.explanation,
        scripted=record.scripted,
        try_number=record.try_number,
        cli_version=record.versions.cli,
        conditions_digest=record.conditions_digest,
        warnings=record.warnings or None,
        faults=[fault for one in case.transcripts for fault in one.faults] or None,
        transcript=case.missing,
    )


def _results(chosen: Sequence[_Sampled]) -> Json:
    records = [one.record for one in chosen]
    graded = [record for record in records if record.score is not None]
    rates = [record.score.solve_rate for record in graded if record.score]
    passed = [float(record.outcome == "passed") for record in graded]
    return {
        "total_samples": len(records),
        "completed_samples": sum(record.outcome != "error" for record in records),
        "scores": [
            _metric("solve_rate", "mean", rates, len(records)),
            _metric("passed", "accuracy", passed, len(records)),
        ],
    }


def _metric(scorer: str, name: str, values: Sequence[float], samples: int) -> Json:
    """Return the mean of a score over the samples that have it."""
    mean = {name: {"name": name, "value": sum(values) / len(values)}} if values else {}
    return {
        "name": scorer,
        "scorer": scorer,
        "scored_samples": len(values),
        "unscored_samples": samples - len(values),
        "metrics": mean,
    }


def _summed(usages: Iterable[dict[str, Json]]) -> dict[str, Json]:
    """Return the usage of each model, added up over the samples."""
    total: dict[str, dict[str, Any]] = {}
    for by_model in usages:
        for model, usage in by_model.items():
            there = total.setdefault(model, {})
            for name, count in usage.items():
                there[name] = round(there.get(name, 0) + count, 10)
    return total


def _id(*parts: str) -> str:
    return hashlib.sha256("/".join(parts).encode("utf-8", "replace")).hexdigest()[:22]
