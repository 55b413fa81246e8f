"""Finds the program of a submission, makes it and calls it, inside its sandbox. `policy_worker.py` serves it there.

This file needs only the standard library, so that it can be imported in the sandbox.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

_DEFAULT = "GeneratedApproach"


class ProgramMistake(Exception):
    """The submission has no class that can play, or no single one. The message is complete without a traceback."""


class LoadedProgram:
    """The program of a submission, with one method for each request about it.

    `seen` turns an observation, as plain data, into what the program is given.
    """

    def __init__(self, folder: str, action_space: Any, observation_space: Any, seen: Callable[[Any], Any]) -> None:
        self._folder = folder
        self._spaces = (action_space, observation_space)
        self._seen = seen
        self._program: Any = None
        self._get_action: Callable[[Any], Any] = lambda _observation: None
        self._update: Callable[..., object] | None = None

    def load(self, request: dict[str, Any]) -> None:
        """Import the program's module, and make the program. Raise `ProgramMistake`, and what the program raises."""
        sys.path[:0] = [str(Path(self._folder, folder)) for folder in request["folders"]]
        __import__(request["module"])
        found = program_class(sys.modules[request["module"]], request["class"])
        self._program = make_program(found, self._spaces, request["primitives"])
        self._get_action = _action_of(self._program)
        update = getattr(self._program, "update", None)
        self._update = update if callable(update) else None

    def reset(self, request: dict[str, Any]) -> bool:
        """Begin an episode. Return whether the program wants to be told the outcome of each step."""
        self._program.reset(self._seen(request["observation"]), request["info"])
        return self._update is not None

    def act(self, request: dict[str, Any]) -> Any:
        """Return the action for an observation."""
        return self._get_action(self._seen(request["observation"]))

    def update(self, request: dict[str, Any]) -> None:
        """Tell the program the outcome of its last action."""
        if self._update is not None:
            self._update(self._seen(request["observation"]), request["reward"], request["done"], request["info"])


def program_class(module: ModuleType, name: str | None) -> Any:
    """Return the class of this name. Without a name, return `GeneratedApproach`, or else the only class that can play.

    Raise `ProgramMistake` if there is none, or if there are several.
    """
    found = getattr(module, name or _DEFAULT, None)
    if found is not None:
        return found
    classes = playing_classes(module)
    if name is None and len(classes) == 1:
        return classes[0]
    file = Path(getattr(module, "__file__", None) or module.__name__).name
    able = ", ".join(thing.__name__ for thing in classes)
    others = f"; it has {able}" if able else ", and no other class with reset and get_action"
    hint = "; choose with --policy" if able and name is None else ""
    raise ProgramMistake(f"{file} has no class {name or _DEFAULT}{hint}{others}")


def playing_classes(module: ModuleType) -> list[Any]:
    """Return the classes that a module defines and that have `reset`, and `get_action` or `step`."""
    own = [thing for thing in vars(module).values() if isinstance(thing, type) and thing.__module__ == module.__name__]
    able = [
        thing for thing in own if hasattr(thing, "reset") and (hasattr(thing, "get_action") or hasattr(thing, "step"))
    ]
    return [thing for thing in able if not inspect.isabstract(thing)]


def make_program(program: Any, spaces: Sequence[Any], primitives: Any) -> Any:
    """Call a program's constructor with the two spaces, and with what else it takes.

    `primitives` is given by name, or as the third argument if the constructor requires a third one. A constructor that
    requires a `seed` is given 0.
    """
    try:
        parameters = inspect.signature(program).parameters
    except (ValueError, TypeError):  # it has no signature, as some callables in C
        return program(*spaces, primitives=primitives)
    positional, named = list(spaces), dict[str, Any]()
    by_name = {name: p for name, p in parameters.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    if "primitives" in by_name or takes_any:
        named["primitives"] = primitives
    elif len(required := _required(parameters)) > len(positional) and required[len(positional)].name != "seed":
        positional.append(primitives)
    if "seed" in by_name and by_name["seed"].default is inspect.Parameter.empty:
        named["seed"] = 0
    return program(*positional, **named)


def _required(parameters: Any) -> list[inspect.Parameter]:
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [p for p in parameters.values() if p.kind in kinds and p.default is p.empty]


def _action_of(program: Any) -> Callable[[Any], Any]:
    """Return the function that gives the action for an observation. `step` needs none of its own."""
    get_action: Callable[[Any], Any] | None = getattr(program, "get_action", None)
    if get_action is not None:
        return get_action
    step = getattr(program, "step", None)
    if step is None:
        raise ProgramMistake(f"{type(program).__name__} has no get_action, and no step either: it cannot play")
    return lambda _observation: step()
