"""Puts the stand-in for `ollama` on a test's PATH, and reads what its servers did."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from tests.support import stand_in_ollama


class StandIn:
    """The executable `folder/bin/ollama` and its knobs. `variables` put it first on PATH."""

    def __init__(self, folder: Path, **knobs: Any) -> None:
        self.folder = folder
        self.models = folder / "models"
        self.executable = folder / "bin" / "ollama"
        self.executable.parent.mkdir(parents=True)
        self.executable.write_text(
            f'#!/bin/sh\nSTAND_IN_OLLAMA="{folder}" PYTHONPATH="{stand_in_ollama.ROOT}" \\\n'
            f'PROCTOR_FAKE_NVML="{os.environ.get("PROCTOR_FAKE_NVML", "")}" \\\n'
            f'exec "{sys.executable}" "{stand_in_ollama.__file__}" "$@"\n'
        )
        self.executable.chmod(0o755)
        self._knobs = dict(stand_in_ollama.KNOBS)
        self.turn(**knobs)

    @property
    def variables(self) -> dict[str, str]:
        path = f"{self.executable.parent}{os.pathsep}{os.environ['PATH']}"
        return {"PATH": path, "OLLAMA_MODELS": str(self.models)}

    def turn(self, **knobs: Any) -> None:
        """Change knobs. A server applies them from its next request on."""
        assert not knobs.keys() - stand_in_ollama.KNOBS.keys(), f"the knobs are {list(stand_in_ollama.KNOBS)}"
        self._knobs |= knobs
        new = self.folder / "knobs.new"
        new.write_text(json.dumps(self._knobs))
        new.replace(self.folder / "knobs.json")

    def add_model(self, name: str, **facts: Any) -> None:
        """Put a model into the models' folder."""
        stand_in_ollama.add_model(self.models, name, facts)

    def events(self, kind: str) -> list[dict[str, Any]]:
        """Return what the servers did, in order: `start`, `load`, `request`, `pull`."""
        return [event for event in stand_in_ollama.read_events(self.folder) if event["event"] == kind]
