"""What solves a KinDER environment of MuJoCo, from the goal that its task states."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_SHOWN_DIGITS = 3


def goal_text(world: Any) -> str:
    """Return in words when an episode terminates, with the box of every region that the goal names.

    `world` is KinDER's object-centric environment. It must have been reset.
    """
    goal = world.task_config.get("goal_state", [])
    conditions = [condition for condition in goal if isinstance(condition, list)]
    combined = "one of these holds" if "or" in goal else "all of these hold"
    placed: dict[str, list[str]] = {}
    lines = []
    for name, *arguments in conditions:
        if name in {"on", "in"}:
            placed.setdefault(arguments[1], []).append(f"`{arguments[0]}`")
        else:
            lines.append(_other(name, arguments))
    lines = [f"- in `{region}`: {', '.join(things)}" for region, things in placed.items()] + lines
    boxes = [f"- `{region}`: {' or '.join(_boxes(world, region))}" for region in placed]
    return _GOAL.format(combined=combined, conditions="\n".join(lines), boxes="\n".join(boxes))


def _other(name: str, arguments: list[Any]) -> str:
    if name == "balanced":
        degrees = arguments[1] if len(arguments) > 1 else 5.0
        return f"- `{arguments[0]}` is balanced: its beam is at most {degrees:g} degrees off level"
    return f"- {name}: {', '.join(map(str, arguments))}"


def _boxes(world: Any, region: str) -> Iterator[str]:
    """Yield the boxes of a region, each in the frame of the body that it is fixed to."""
    target = world.task_config["regions"][region]["target"]
    owner = world._ground_fixture if target == "ground" else world._fixtures_dict.get(target)
    owner = owner or world._objects_dict[target]
    model = world._robot_env.sim.model.mj_model
    for part in owner.region_objects[region]:
        site = model.site(part.site_element.get("name"))
        body = model.body(int(site.bodyid[0])).name
        ranges = (
            f"{axis} in [{middle - half:.{_SHOWN_DIGITS}f}, {middle + half:.{_SHOWN_DIGITS}f}]"
            for axis, middle, half in zip("xyz", site.pos, site.size, strict=True)
        )
        yield f"{', '.join(ranges)} in the frame of {'the world' if body == 'world' else f'`{body}`'}"


_GOAL = """\
The episode terminates when {combined}:

{conditions}

A thing is in a region if its position (x, y, z; of a robot its base, with z 0) lies in the bounding box, along the
axes of the world, of the region's box:

{boxes}"""
