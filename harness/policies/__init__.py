"""Policies of our own, which solve the environments that they are for.

Each folder here is a submission, as an agent would hand it in: `proctor grade` and `pytest --submission` grade it. So
its modules import each other by their plain names, and import nothing of Proctor. One folder serves all environments of
its families. A solve rate far below those in `docs/environments.md` shows a fault of the harness, or a changed world.
"""

from __future__ import annotations

from pathlib import Path

_FAMILIES = {
    "maze": ("maze",),
    "kinematic2d": (
        "clutteredretrieval2d",
        "clutteredstorage2d",
        "motion2d",
        "obstruction2d",
        "pushpullhook2d",
        "stickbutton2d",
    ),
    "dynamic2d": ("dynobstruction2d", "dynpushpullhook2d", "dynpusht2d", "dynscooppour2d"),
    "tidybot3d": (
        "basemotion3d",
        "constrainedcupboard3d",
        "dynamicshelf3d",
        "dynamo3d",
        "limbrepositioning3d_isolated_left_arm",
        "obstruction3d",
        "packing3d",
        "scooppour3d_generalized",
        "scooppour3d_o10",
        "shelf3d_easy",
        "shelf3d_medium",
        "shelf3d_hard",
        "shelf3d_generalized",
        "sortclutteredblocks3d_generalized",
        "sortclutteredblocks3d_o4_sort_the_cluttered_blocks_into_bins",
        "sweepsimple3d_generalized",
        "sweepsimple3d_o1_sweep_the_blocks_to_the_left_side_of_the_kitchen_island",
        "table3d",
        "tossing3d",
        "transport3d",
    ),
    "vega3d": ("vegamotion3d",),
}
"""The folder of each policy, and the families that it is for: a part of an environment's name, between underscores.

Where a policy is for some environments of a family, their whole names stand here.
"""


def reference_folder(environment_name: str) -> Path | None:
    """Return the folder of the policy for an environment, such as `motion2d_easy`, or `None` if there is none."""
    parts = {environment_name, *environment_name.split("_")}
    for folder, families in _FAMILIES.items():
        if not parts.isdisjoint(families):
            return Path(__file__).with_name(folder)
    return None
