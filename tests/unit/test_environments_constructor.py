"""The constructor of an adapter, read from its source: it is the one that Python finds, or it is not known."""

from __future__ import annotations

import inspect
import itertools
import keyword
from collections.abc import Callable
from inspect import Parameter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.environments.constructor import constructor
from harness.imports import load_object

NUMBERS = itertools.count()

Module = Callable[[str], str]


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Module:
    """A function that writes a module with this source, and returns the import path of its class `Door`."""
    monkeypatch.syspath_prepend(tmp_path)

    def written(source: str) -> str:
        name = f"built{next(NUMBERS)}"
        (tmp_path / f"{name}.py").write_text(source)
        return f"{name}:Door"

    return written


names = st.from_regex(r"[a-z][a-z_]{0,5}", fullmatch=True).filter(lambda name: not keyword.iskeyword(name))


@st.composite
def parameter_lists(draw: st.DrawFn) -> str:
    """Return the parameters of a method in Python's syntax, of every kind and in a valid order."""
    chosen = draw(st.lists(names, unique=True, max_size=6).filter(lambda found: "self" not in found))
    cuts = sorted(draw(st.tuples(*[st.integers(0, len(chosen))] * 2)))
    first_default = draw(st.integers(0, cuts[1]))
    positional = [name if index < first_default else f"{name}=1" for index, name in enumerate(chosen[: cuts[1]])]
    slash = ["/"] if cuts[0] else []
    parts = ["self", *positional[: cuts[0]], *slash, *positional[cuts[0] :]]
    only = [f"{name}: int = 3" if draw(st.booleans()) else name for name in chosen[cuts[1] :]]
    parts += [draw(st.sampled_from(["*", "*args"])), *only] if only else draw(st.sampled_from([[], ["*args"]]))
    return ", ".join([*parts, *draw(st.sampled_from([[], ["**kwargs"]]))])


def shape(signature: inspect.Signature) -> list[tuple[str, object, bool]]:
    return [(p.name, p.kind, p.default is Parameter.empty) for p in signature.parameters.values()]


@given(parameters=parameter_lists())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_every_parameter_list_is_read_as_python_reads_it(module: Module, parameters: str) -> None:
    path = module(f"class Door:\n    def __init__({parameters}): pass\n")
    found = constructor(path)
    assert found is not None
    assert shape(found) == shape(inspect.signature(load_object(path)))


def test_a_constructor_may_come_from_a_base_class_in_the_module(module: Module) -> None:
    found = constructor(module("class Base:\n    def __init__(self, a): pass\n\nclass Door(Base):\n    b = 1\n"))
    assert found is not None
    assert list(found.parameters) == ["a"]


@pytest.mark.parametrize(
    "source",
    [
        "from json import JSONDecoder as Door\n",
        "import dataclasses\n\n@dataclasses.dataclass\nclass Door:\n    a: int\n",
        "from json import JSONDecoder\n\nclass Door(JSONDecoder): pass\n",
        "class Door:\n    def __new__(cls, a): return super().__new__(cls)\n",
        "Door = make()\n",
        "try:\n    class Door:\n        def __init__(self, a): pass\nexcept ImportError: pass\n",
        "from elsewhere import *\n",
        "def __getattr__(name): return 1\n",
        "globals()['Door'] = 1\n",
        "class Door(Door):\n    pass\n",
    ],
)
def test_a_class_that_the_source_does_not_tell_is_not_judged(module: Module, source: str) -> None:
    assert constructor(module(source)) is None


def test_a_name_that_the_module_cannot_have_and_a_syntax_error_are_mistakes(module: Module) -> None:
    with pytest.raises(ValueError, match=r"built\d+\.py has no Door$"):
        constructor(module("class Window: pass\n"))
    with pytest.raises(ValueError, match=r"built\d+\.py, line 2: SyntaxError: "):
        constructor(module("x = 1\n)\n"))


def test_a_module_without_source_is_not_judged() -> None:
    assert constructor("math:sqrt") is None
