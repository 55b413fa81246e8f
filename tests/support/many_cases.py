"""Writes a run of thousands of cases, with the recorded streams of real CLIs."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec

from backends.registry import own_names
from harness.case_folder import CaseFolder
from harness.endings import Cause, Ending
from harness.results.record import CaseNames, CaseUsage, Record, Timing, UsageTotals
from harness.results.run_folder import CASES, RESULTS
from tests.support.project import ROOT
from tests.support.runs import night, record, score, write_run

MODELS = ("opus", "sonnet", "qwen", "gpt_oss")
ENVIRONMENTS = tuple(f"room{number:02}" for number in range(25))
_ENDINGS = {
    Ending.FINISHED: (Cause.AGENT, 80),
    Ending.TURN_LIMIT: (Cause.LIMIT, 8),
    Ending.COST_LIMIT: (Cause.LIMIT, 6),
    Ending.RATE_LIMITED: (Cause.MODEL, 4),
    Ending.CLI_CRASHED: (Cause.CLI, 2),
}


def write_many_cases(folder: Path, count: int) -> Path:
    """Write a run of so many cases and return its folder. All sessions of a backend share the files of one."""
    write_run(folder, night({(name, "maze"): [20] for name in own_names()}))
    for name in own_names():
        files, recorded = CaseFolder(folder / f"{name}-qwen-maze-r1"), ROOT / "tests/corpus" / name / "normal"
        shutil.copy(recorded / "stream.jsonl", files.stream)
        shutil.copy(recorded / "stderr", files.stderr)
        files.prompt.write_text("Solve the maze.\n" * 40)
        files.submission.mkdir()
        (files.submission / "approach.py").write_text("class GeneratedApproach:\n    pass\n" * 40)
    records = list(_records(count))
    (folder / RESULTS).write_bytes(b"".join(msgspec.json.encode(one) + b"\n" for one in records))
    (folder / CASES).write_bytes(msgspec.json.encode([one.session for one in records]))
    return folder


def _records(count: int) -> Iterator[Record]:
    chance = random.Random(1)  # noqa: S311 - the same cases each time
    kinds = list(_ENDINGS)
    weights = [share for _, share in _ENDINGS.values()]
    for number in range(count):
        backend, model = chance.choice(own_names()), chance.choice(MODELS)
        environment, replicate = chance.choice(ENVIRONMENTS), number // 100 + 1
        [ending] = chance.choices(kinds, weights)
        graded = ending not in {Ending.RATE_LIMITED, Ending.CLI_CRASHED}
        solved = min(20, int(21 * chance.betavariate(2, 1)))
        case = f"{backend}-{model}-{environment}-r{replicate}"
        used = UsageTotals(
            turns=chance.randrange(3, 50),
            tool_calls=chance.randrange(3, 80),
            input_tokens=chance.randrange(5_000, 900_000),
            output_tokens=chance.randrange(500, 50_000),
            cost_usd=chance.lognormvariate(-2, 0.7),
        )
        spent = chance.lognormvariate(5, 0.6)
        yield record(
            backend,
            environment,
            replicate,
            solved=solved if graded else None,
            case=CaseNames(case, backend, model, "local", environment, replicate),
            session=f"{case}.{number}",
            ending=ending,
            cause=_ENDINGS[ending][0],
            outcome=("passed" if solved >= 18 else "failed") if graded else "error",
            explanation=f"{solved} of 20 solved, 18 needed; KeyError in approach.py:{number % 90}"
            if graded
            else "the provider said 429",
            score=score(solved) if graded else None,
            usage=CaseUsage(metered=used),
            timing=Timing(total_s=spent, agent_s=spent * 0.9, model_s=spent * 0.6, tools_s=spent * 0.2),
            artifacts=f"{backend}-qwen-maze-r1",
        )
