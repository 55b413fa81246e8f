"""The prompt of a session: the same task for every backend, with the tool names that its CLI uses."""

from __future__ import annotations

INSTRUCTIONS = """\
You work alone: nobody reads along or answers questions, and there is no network. Work in the current directory.
Finish when `approach.py` is there and works.
"""
"""The standing instructions that every CLI gets (CLAUDE.md, AGENTS.md)."""

RESUME = """\
Your session was interrupted by a failure that was not yours. Your files are as you left them. Go on with the task.
"""
"""The prompt of an attempt that continues an earlier attempt's conversation."""

_TASK = """\
Write a program that solves the following environment, and leave it in the file `approach.py` in your current directory.

{description}

# What to hand in

`approach.py` must define

    class GeneratedApproach:
        def __init__(self, action_space, observation_space, primitives=None): ...
        def reset(self, state, info): ...   # called once at the start of each episode, with the first observation
        def get_action(self, state): ...    # called for each step; returns the action

- `action_space` and `observation_space` are Gymnasium spaces; `primitives` is None.
- Other Python modules beside `approach.py` may be imported by it. The standard library, NumPy and what is
  importable by `python` here may be used.
- It is graded on {episodes} episodes that you cannot see, each with an initial state of its own, at most
  {max_steps} steps and {episode_wall_s:g} seconds long. An exception, an invalid action or a time-out fails the
  episode.
- Try your program before you finish. There is no network and nobody to ask.
{tools}"""

_TOOLS = """
You have these tools besides your own:
- `{render_state}` renders the initial state of a seed (0..9999), or a state that you give.
- `{render_policy}` runs your program from a directory for one seed and shows pictures of the episode.
"""


def build_prompt(
    *,
    description: str,
    episodes: int,
    max_steps: int,
    episode_wall_s: float,
    tool_names: dict[str, str],
) -> str:
    """Return the prompt of a session. `tool_names` maps the environment's tools to the names that the CLI shows."""
    return _TASK.format(
        description=description.strip(),
        episodes=episodes,
        max_steps=max_steps,
        episode_wall_s=episode_wall_s,
        tools=_TOOLS.format_map(tool_names) if tool_names else "",
    )
