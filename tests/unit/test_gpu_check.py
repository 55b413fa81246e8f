"""`make gpu-check`, tried on fake GPUs: its checks pass there, and it says why it cannot run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.support.fake_gpus import FakeGpus
from tests.support.project import ROOT


def checked(variables: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
    command = [sys.executable, "-m", "tests.gpu"]
    return subprocess.run(
        command, cwd=ROOT, env={**environment, **variables}, capture_output=True, text=True, check=False
    )


def test_every_claim_about_gpus_holds_on_a_gpu_that_keeps_its_contract(tmp_path: Path) -> None:
    gpus = FakeGpus(tmp_path, count=2)
    ran = checked(gpus.variables)
    assert ran.returncode == 0, ran.stderr
    facts = json.loads(ran.stdout)
    assert facts["failed"] == []
    assert [gpu["uuid"] for gpu in facts["inventory"]["gpus"]] == gpus.uuids
    assert facts["visible_devices"]["index"]["proctor"] == gpus.uuids[:1]
    assert facts["visible_devices"]["empty"]["proctor"] == []
    assert facts["foreign_process"]["pid_is_seen"]
    assert facts["killed_server"]["gpu_memory_mb"] == facts["foreign_process"]["held_mb"] == 4800


def test_without_an_idle_gpu_it_says_so(tmp_path: Path) -> None:
    assert "there is no NVIDIA GPU" in checked({}).stderr
    gpus = FakeGpus(tmp_path, count=1)
    gpus.use(os.getpid(), {gpus.uuids[0]: 100})
    busy = checked(gpus.variables)
    assert (busy.returncode, busy.stdout) == (2, "")
    assert f"in use by process {os.getpid()}" in busy.stderr
