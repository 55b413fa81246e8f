"""A project's own environment: an import path names its class, and a class that does not fit gets a clear error."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.environment_conf import EnvironmentConf
from harness.environments.base import Environment
from harness.environments.factory import available, make_environment, version_of
from harness.imports import make_importable
from tests.support.own_project import ENVIRONMENT

NUMBERS = itertools.count()

Maker = Callable[..., EnvironmentConf]


@pytest.fixture
def conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Maker:
    """A function that returns the configuration of the class `Door` in a module with this code, in a project's root."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    make_importable(tmp_path)

    def made(code: str = ENVIRONMENT, name: str = "Door", **arguments: Any) -> EnvironmentConf:
        module = f"door{next(NUMBERS)}"
        (tmp_path / f"{module}.py").write_text(code)
        return EnvironmentConf("door", f"{module}:{name}", arguments, max_steps=10)

    return made


def test_its_class_gets_the_step_limit_and_the_arguments(conf: Maker) -> None:
    made = conf(length=5)
    assert available(made) is None
    environment = make_environment(made)
    assert environment.max_steps == 10
    assert environment.spaces()["observation_space"]["n"] == 6


def test_its_version_is_known_only_if_it_belongs_to_a_package(conf: Maker) -> None:
    assert version_of(conf(), "0.1") is None
    assert version_of(EnvironmentConf("x", "gymnasium.envs:Any"), "0.1") == version_of(
        EnvironmentConf("x", "gymnasium"), "0.1"
    )
    assert version_of(EnvironmentConf("x", "maze"), "0.1") == "proctor 0.1"


def test_a_missing_package_that_it_imports_is_reported(conf: Maker) -> None:
    made = conf(f"import nonesuch\n{ENVIRONMENT}")
    reason = str(available(made))
    assert "imports nonesuch, which is not installed" in reason
    with pytest.raises(ValueError, match=r"environment door: kind door.*imports nonesuch"):
        make_environment(made)


def test_a_module_that_does_not_exist_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="environment door: kind: there is no module nonesuch: it is neither in"):
        available(EnvironmentConf("door", "nonesuch.envs:Door"))


@pytest.mark.parametrize(
    ("code", "name", "said"),
    [
        (ENVIRONMENT, "Window", "has no Window"),
        ("Door = 3\n", "Door", "an adapter is a class, and this is of type int"),
        ("def Door(max_steps): pass\n", "Door", "an adapter is a class, and this is of type function"),
        (ENVIRONMENT.replace("def step", "def go"), "Door", "is not an adapter: it lacks the methods step"),
        ("class Door: pass\n", "Door", "lacks the methods reset, action, step, render, describe, spaces"),
        (ENVIRONMENT.replace("self, max_steps, ", "self, "), "Door", "is not an adapter: it does not take max_steps"),
        (ENVIRONMENT.replace("self.max_steps = ", "_ = "), "Door", "Door must keep max_steps as an attribute"),
        (f"{ENVIRONMENT}\n1 / 0\n", "Door", "line [0-9]+: ZeroDivisionError: division by zero"),
        (f"{ENVIRONMENT}\n)\n", "Door", r"line [0-9]+: SyntaxError: unmatched '\)'"),
    ],
)
def test_a_class_that_is_not_an_adapter_is_refused_with_its_missing_parts(
    conf: Maker, code: str, name: str, said: str
) -> None:
    with pytest.raises(ValueError, match=f"environment door: .*{said}"):
        make_environment(conf(code, name))


def test_wrong_arguments_are_refused_with_the_accepted_ones(conf: Maker) -> None:
    with pytest.raises(ValueError, match=r"environment door: arguments.colour: .*takes: length"):
        make_environment(conf(colour="red"))


def test_the_example_implements_the_protocol(conf: Maker) -> None:
    environment: Environment = make_environment(conf())
    place, _ = environment.reset(3)
    for _ in range(3 - place):
        assert not environment.step(environment.action("walk")).terminated
    assert environment.step(environment.action("open")).terminated


def test_a_module_of_its_own_package_that_is_missing_is_a_mistake(conf: Maker, tmp_path: Path) -> None:
    package = tmp_path / f"rooms{next(NUMBERS)}"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "envs.py").write_text(f"import {package.name}.nonesuch\n\nclass Door: pass\n")
    with pytest.raises(ValueError, match=r"cannot be imported: .*envs\.py, line 1: ModuleNotFoundError: .*nonesuch"):
        available(EnvironmentConf("door", f"{package.name}.envs:Door"))
