"""Which files of the host an agent must not see, for each kind of environment."""

from __future__ import annotations

import sysconfig
from pathlib import Path

import pytest

from harness.environment_conf import EnvironmentConf
from harness.environments.provenance import _of_packages, hidden_from, packages_of
from harness.imports import make_importable

PACKAGES = Path(sysconfig.get_path("purelib")).resolve()


def installed(place: Path, name: str, files: list[str], needs: tuple[str, ...] = ()) -> None:
    """Write what pip would, for a package with these files."""
    info = f"{name.replace('-', '_')}-1.0.dist-info"
    for file in files:
        (place / file).parent.mkdir(parents=True, exist_ok=True)
        (place / file).touch()
    (place / info).mkdir()
    requirements = "".join(f"Requires-Dist: {need}\n" for need in needs)
    (place / info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{requirements}\ntext")
    (place / info / "RECORD").write_text("".join(f"{file},,\n" for file in [*files, f"{info}/METADATA"]))


def test_a_package_is_hidden_with_what_only_it_needs(tmp_path: Path) -> None:
    place, program = tmp_path / "lib/python/site-packages", tmp_path / "bin/world"
    place.mkdir(parents=True)
    program.parent.mkdir()
    program.touch()
    needs = ("Shapes_2D>=1", "tools", "unused; extra == 'all'", "numpy")
    installed(place, "my-world", ["myworld/envs.py", "../../../bin/world", "both/one.py"], needs)
    installed(place, "shapes-2d", ["shapes.py", "__pycache__/shapes.cpython-311.pyc"])
    installed(place, "tools", ["tools/__init__.py"])
    installed(place, "unused", ["unused/__init__.py"])
    installed(place, "other", ["other/__init__.py", "both/two.py"], ("tools",))
    installed(place, "numpy", ["numpy/__init__.py"])
    installed(place, "proctor", ["harness/maze.py", "_proctor.pth"], ("numpy", "tools"))
    hidden = _of_packages(place, ("my-world",), ())
    assert set(hidden) == {
        place / "myworld",
        place / "my_world-1.0.dist-info",
        program,
        place / "both/one.py",
        place / "shapes.py",
        place / "__pycache__/shapes.cpython-311.pyc",
        place / "shapes_2d-1.0.dist-info",
        place / "harness",
        place / "_proctor.pth",
        place / "proctor-1.0.dist-info",
    }
    assert set(_of_packages(place, (), ("unused",))) >= {place / "unused", place / "harness"}


def test_what_another_python_has_of_a_black_box_is_hidden_too(tmp_path: Path) -> None:
    pythons = []
    for name in ("environments", "given"):
        place = tmp_path / name / "lib/python3.11/site-packages"
        place.mkdir(parents=True)
        installed(place, "minigrid", ["minigrid/__init__.py"], ("numpy",))
        installed(place, "numpy", ["numpy/__init__.py"])
        pythons.append(str(tmp_path / name / "bin/python"))
    arguments = {"id": "minigrid:MiniGrid-DoorKey-5x5-v0"}
    conf = EnvironmentConf("m", "gymnasium", arguments, interpreter=pythons[0], visibility="api")
    hidden = hidden_from(conf, pythons[1])
    for name in ("environments", "given"):
        place = tmp_path / name / "lib/python3.11/site-packages"
        assert place / "minigrid" in hidden
        assert place / "numpy" not in hidden
    assert hidden_from(conf) != hidden


def test_a_readable_environment_hides_nothing_here() -> None:
    assert hidden_from(EnvironmentConf("m", "maze")) == ()


def test_kinder_is_hidden_and_what_programs_need_is_not() -> None:
    names = {path.name for path in hidden_from(EnvironmentConf("k", "kinder", {"id": "x"}, visibility="api"))}
    assert {"kinder", "tomsgeoms2d"} <= names
    assert names.isdisjoint({"numpy", "gymnasium", "relational_structs", "scipy"})


def test_of_gymnasium_the_environments_are_hidden_and_the_spaces_are_not() -> None:
    hidden = hidden_from(EnvironmentConf("g", "gymnasium", {"id": "CartPole-v1"}, visibility="api"))
    assert PACKAGES / "gymnasium/envs/classic_control" in hidden
    assert not [path for path in hidden if path.name in {"gymnasium", "spaces", "registration.py"}]


@pytest.mark.parametrize("name", ["lab_of_mine", "lab_file"])
def test_a_module_of_the_project_is_hidden_with_what_python_compiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("sys.path", [])
    (tmp_path / "lab_of_mine").mkdir()
    (tmp_path / "lab_of_mine/__init__.py").touch()
    (tmp_path / "__pycache__").mkdir()
    for file in ("lab_file.py", "__pycache__/lab_file.cpython-311.pyc"):
        (tmp_path / file).touch()
    make_importable(tmp_path)
    hidden = hidden_from(EnvironmentConf("l", f"{name}:Door", visibility="api"))
    files = ["lab_file.py", "__pycache__/lab_file.cpython-311.pyc"]
    assert {tmp_path / file for file in (files if name == "lab_file" else ["lab_of_mine"])} <= set(hidden)


def test_the_packages_to_read() -> None:
    assert packages_of(EnvironmentConf("m", "maze")) == []
    assert packages_of(EnvironmentConf("k", "kinder", {"id": "x"})) == ["kinder"]
    assert packages_of(EnvironmentConf("g", "gymnasium", {"id": "minigrid:Empty-v0"})) == ["minigrid"]
    assert packages_of(EnvironmentConf("g", "gymnasium", {"id": "CartPole-v1"})) == ["gymnasium"]
