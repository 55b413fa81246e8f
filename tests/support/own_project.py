"""A user's project: it has no copy of Proctor's configuration, only its own code and `conf/`."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.support.project import INI, ROOT, Project

ENVIRONMENT = '''\
"""A corridor with a door at its end."""

import random

import numpy as np

from harness.environments.base import InvalidAction, Step


class Door:
    """Walk to the door, then open it."""

    def __init__(self, max_steps, length=3):
        self.max_steps = max_steps
        self.length = length
        self.place = 0

    def reset(self, seed):
        self.place = random.Random(seed).randrange(self.length)
        return self.get_state(), {}

    def action(self, plain):
        if plain not in ("walk", "open"):
            raise InvalidAction(f"walk or open, not {plain!r}")
        return plain

    def step(self, action):
        opened = action == "open" and self.place == self.length
        self.place = min(self.length, self.place + (action == "walk"))
        return Step(self.get_state(), 0.0, opened, False, {})

    def render(self):
        return np.zeros((8, 8, 3), np.uint8)

    def describe(self):
        return "Walk along a corridor and open the door at its end."

    def spaces(self):
        text = {"type": "text", "min_length": 4, "max_length": 4, "charset": "acdefghijklnopqrstuvwxyz"}
        place = {"type": "discrete", "n": self.length + 1, "start": 0}
        return {"action_space": text, "observation_space": place}

    def get_state(self):
        return self.place

    def set_state(self, state):
        if type(state) is not int or not 0 <= state <= self.length:
            raise ValueError("a state is the agent's place")
        self.place = state

    def close(self):
        pass
'''

BACKEND = '''\
"""Claude Code under another name."""

from backends.claude.adapter import Claude


class Lean(Claude):
    name = "lean"


BACKEND = Lean()
'''

SCRIPT = """\
turns:
  - text: I write the policy.
    calls:
      - write: approach.py
        content: |
          class GeneratedApproach:
              def __init__(self, action_space, observation_space, primitives=None):
                  pass

              def reset(self, state, info):
                  pass

              def get_action(self, state):
                  return "walk" if state < 3 else "open"
  - text: Done.
"""

FILES = {  # the model and the config replace packaged ones
    "mylab/__init__.py": "",
    "mylab/envs.py": ENVIRONMENT,
    "mylab/backends.py": BACKEND,
    "conf/environment/door.yaml": "name: door\nkind: mylab.envs:Door\nmax_steps: 10\n",
    "conf/backend/lean.yaml": "name: lean\nadapter: mylab.backends:BACKEND\n",
    "conf/model/scripted.yaml": "name: scripted\nprovider: scripted\nscript: opener\n",
    "conf/scripts/opener.yaml": SCRIPT,
    "conf/suite/mine.yaml": "name: mine\nbackends: [lean]\nmodels: [scripted]\nenvironments: [door]\n",
    "conf/config.yaml": "evaluation: {episodes: 3}\n",
}


class OwnProject(Project):
    """A folder with these files and the shipped test of cases.

    Python does not find its modules by itself: pytest imports tests with `importlib`, and the working folder is not on
    the module search path.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copy(ROOT / "conftest.py", folder)
        shutil.copy(ROOT / "tests/evaluation/test_cases.py", folder)
        self.write("pytest.ini", INI.rstrip() + " --import-mode=importlib\n")
        for name, text in FILES.items():
            self.write(name, text)

    def command(self, *arguments: str) -> list[str]:
        """See `Project.command`."""
        python, *rest = super().command(*arguments)
        return [python, "-P", *rest]
