"""A run of every backend with a baseline: what the pictures of the page show."""

from __future__ import annotations

import json
from pathlib import Path

from harness.results.run_folder import LATEST, RESULTS
from tests.support.project import ROOT, Project

_HASTY = """\
turns:
  - text: I look at one maze first.
    calls: [{mcp: render_state, arguments: {seed: 0, label: first}, optional: true}]
  - fail: {status: 529, times: 1, message: overloaded}
    text: The goal is below and to the right. I walk there.
    calls:
      - write: approach.py
        content: |
          class GeneratedApproach:
              def __init__(self, action_space, observation_space, primitives=None):
                  pass

              def reset(self, state, info):
                  self.state = state

              def get_action(self, state):
                  return 1
  - calls: [{run: python aproach.py}]
  - text: A wrong name. I also forgot that the goal may lie to the right.
    calls:
      - write: approach.py
        content: |
          class GeneratedApproach:
              def __init__(self, action_space, observation_space, primitives=None):
                  pass

              def reset(self, state, info):
                  self.state = state

              def get_action(self, state):
                  (row, column), (goal, _) = state["agent"], state["goal"]
                  return 1 if row < goal else 3
  - calls: [{run: python approach.py}]
  - text: Done.
"""


def real_run(folder: Path) -> Path:
    """Run every case twice, the first time as the baseline. Return the folder of the second run.

    What the baseline says of the hasty model is changed, as if its programs had been right then.
    """
    project = Project(folder)
    for name, script in (("careful", (ROOT / "conf/scripts/small_maze.yaml").read_text()), ("hasty", _HASTY)):
        price = "price: {input: 1.0, output: 5.0}"
        project.write(f"conf/model/{name}.yaml", f"name: {name}\nprovider: scripted\nscript: {name}\n{price}\n")
        project.write(f"conf/scripts/{name}.yaml", script)
    cases = "backends: all\nmodels: [careful, hasty]\nenvironments: [small_maze]\nreplicates: 2\n"
    project.write("conf/suite/maze.yaml", f"name: maze\n{cases}")
    for arguments in ([], ["--baseline", "last"]):
        done = project.pytest("--suite", "maze", "-n", "2", *arguments)
        assert done.returncode == 1, done.stdout + done.stderr
        if not arguments:
            _improve((folder / "runs" / LATEST).resolve())
    return (folder / "runs" / LATEST).resolve()


def _improve(run: Path) -> None:
    """Change the files of a run as if every program had solved every episode."""
    file = run / RESULTS
    records = [json.loads(line) for line in file.read_text().splitlines()]
    for record in records:
        record["outcome"] = "passed"
        record["score"] |= {"solve_rate": 1.0, "solved": record["score"]["episodes"]}
        played = run / record["artifacts"] / "episodes.jsonl"
        episodes = [json.loads(line) | {"outcome": "solved"} for line in played.read_text().splitlines()]
        played.write_text("".join(json.dumps(episode) + "\n" for episode in episodes))
    file.write_text("".join(json.dumps(record) + "\n" for record in records))
