"""Environments whose episodes have different numbers of objects."""

from __future__ import annotations

import sys
from contextlib import closing
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.environment_conf import Counts, EnvironmentConf
from harness.environments import factory
from harness.environments.base import PUBLIC_SEEDS, Environment
from harness.environments.counted import MOST_OPEN, set_count
from harness.environments.factory import check_environment, make_environment
from harness.environments.fingerprint import fingerprint
from harness.environments.hosts import EnvironmentFailed
from harness.environments.kinder_objects import KinderObjects
from harness.environments.object_centric import build_space
from harness.environments.spaces import build_space as space_of
from harness.evaluation.counts import by_count, scheduled_counts
from harness.suite.config import load_environments
from tests.support.counted import Corridor, corridor
from tests.support.hosted import made_here
from tests.support.project import CONF

counts = st.lists(st.integers(0, 30), min_size=1, max_size=6, unique=True)


def doors(environment: Environment, seed: int) -> Any:
    return environment.reset(seed)[0]["doors"]


class TestConfiguration:
    @pytest.mark.parametrize(
        ("given", "said"),
        [
            ({"design": []}, "Expected `array` of length >= 1 - at `$.counts.design`"),
            ({"design": [1, -1]}, "Expected `int` >= 0 - at `$.counts.design[1]`"),
            ({"design": [1.5]}, "Expected `int`, got `float` - at `$.counts.design[0]`"),
            ({"design": [1, 1]}, "design has the number 1 twice - at `$.counts`"),
            ({"held_out": [7, 7]}, "held_out has the number 7 twice - at `$.counts`"),
            ({"held_out": [2]}, "the number 2 is in design, so that agents know it, and in held_out: choose one"),
            ({"argument": "two words"}, "Expected `str` matching regex"),
            ({"steps_per_object": -1}, "Expected `int` >= 0 - at `$.counts.steps_per_object`"),
        ],
    )
    def test_nonsense_is_refused(self, given: dict[str, Any], said: str) -> None:
        told = {"argument": "doors", "design": [1, 2], **given}
        with pytest.raises(msgspec.ValidationError) as raised:
            msgspec.convert({"name": "x", "kind": "maze", "counts": told}, EnvironmentConf)
        assert said in str(raised.value)

    def test_the_argument_must_be_one_of_the_adapter_and_stand_in_one_place(self) -> None:
        check_environment(corridor([9]))
        with pytest.raises(ValueError, match=r"corridor: counts\.argument: windows: there is no such .* takes: doors"):
            check_environment(msgspec.structs.replace(corridor([]), counts=Counts("windows", [1])))
        with pytest.raises(ValueError, match=r"counts\.argument: doors is also in `arguments`"):
            check_environment(msgspec.structs.replace(corridor([]), arguments={"doors": 3}))

    def test_a_number_that_the_adapter_refuses_is_a_mistake_of_the_configuration(self) -> None:
        with pytest.raises(ValueError, match="environment corridor, doors = 2000000: no room for 2000000 doors"):
            made_here(corridor([], [1, 2_000_000]))

    def test_a_number_that_cannot_be_made_is_told_with_its_reason_whenever_it_is_needed(self) -> None:
        told = "failed: ValueError: environment corridor, doors = 2000000: no room for 2000000 doors"
        with (
            closing(make_environment(corridor([2_000_000]))) as environment,
            closing(environment.another()) as process,
            pytest.raises(EnvironmentFailed, match=rf"^environment corridor: making it with doors = 2000000 {told}"),
        ):
            process.prepare(2_000_000)


class TestEpisodes:
    def test_every_public_seed_has_a_design_count(self) -> None:
        environment = made_here(corridor([7, 9]))
        assert [doors(environment, seed) for seed in range(7)] == [1, 2, 4, 1, 2, 4, 1]
        assert {doors(environment, seed) for seed in PUBLIC_SEEDS[-50:]} == {1, 2, 4}

    def test_a_graded_episode_has_the_count_that_is_set(self) -> None:
        environment = made_here(corridor([7, 9]))
        set_count(environment, 9)
        assert doors(environment, 3) == 9
        assert environment.max_steps == 3 + 2 * 9
        set_count(environment, None)
        assert doors(environment, 3) == 1

    def test_an_environment_without_counts_has_none_to_set(self) -> None:
        maze = made_here(EnvironmentConf("maze", "maze", {"min_size": 3, "max_size": 4}, 10))
        set_count(maze, None)
        with pytest.raises(ValueError, match="no numbers of objects"):
            set_count(maze, 3)

    @pytest.mark.parametrize("rule", ["terminated", "info.place >= 100", "return >= -5"])
    def test_an_episode_ends_at_the_limit_for_its_count(self, rule: str) -> None:
        environment = made_here(corridor([], [1, 4], solved_when=rule))
        for seed, limit in ((0, 5), (1, 11)):
            environment.reset(seed)
            steps = [environment.step(environment.action(0)) for _ in range(limit)]
            assert [step.truncated for step in steps[:-1]] == [False] * (limit - 1)
            assert steps[-1].truncated != (rule == "return >= -5" and limit == 5), "else the return solves it"
            assert environment.max_steps == limit

    def test_few_are_open_at_a_time(self) -> None:
        Corridor.opened.clear()
        Corridor.closed.clear()
        design = list(range(10))
        with closing(made_here(corridor([], design))) as environment:
            for seed in (*range(10), 9, 9, 8):
                assert doors(environment, seed) == seed
            assert len(Corridor.opened) - len(Corridor.closed) == MOST_OPEN
        assert sorted(Corridor.opened) == sorted(Corridor.closed)

    def test_a_state_keeps_its_count(self) -> None:
        environment = made_here(corridor([7]))
        environment.reset(2)
        environment.step(1)
        state = environment.get_state()
        assert state == {"count": 4, "state": {"doors": 4, "place": 1}}
        environment.reset(0)
        environment.set_state(state)
        assert environment.get_state() == state
        assert environment.max_steps == 11

    def test_states_with_other_counts_are_refused_in_the_same_words(self) -> None:
        environment = made_here(corridor([7, 9]))
        environment.reset(0)
        said = set()
        for count in (0, 3, 5, 7, 9, 10**9, -1, 7.0, True, "7", None):
            with pytest.raises(ValueError, match="count") as raised:
                environment.set_state({"count": count, "state": {"doors": count, "place": 0}})
            said.add(str(raised.value))
        assert said == {"the count of a state is one of 1, 2, 4"}
        assert environment.get_state() == {"count": 1, "state": {"doors": 1, "place": 0}}

    def test_the_description_is_that_of_the_largest_design_count_and_tells_all_of_them(self) -> None:
        told = made_here(corridor([7, 9])).describe()
        assert told.startswith("Walk past 4 doors.")
        assert "numbers: 1, 2, 4." in told
        assert "after 3 steps and 2 for each unit of `doors`" in told

    def test_the_fingerprint_depends_on_the_design_counts_alone(self) -> None:
        taken = [fingerprint(conf, made_here(conf)).digest for conf in (corridor([7]), corridor([]), corridor([], [1]))]
        assert taken[0] == taken[1] != taken[2]


class TestSchedule:
    @given(counts, counts, st.integers(1, 40))
    def test_the_numbers_of_both_kinds_take_turns(self, design: list[int], others: list[int], episodes: int) -> None:
        held_out = [number for number in others if number not in design]
        drawn = scheduled_counts(Counts("n", design, held_out), episodes)
        played = [drawn.count(number) for number in (*design, *held_out)]
        assert sum(played) == episodes
        assert max(played) - min(played) <= 1
        assert drawn[0] == design[0]
        assert not held_out or episodes < 2 or drawn[1] == held_out[0]

    def test_an_environment_without_counts_has_none(self) -> None:
        assert scheduled_counts(None, 2) == [None, None]

    @given(st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=1), st.sets(st.integers(0, 6)))
    def test_the_score_of_each_number_adds_up(self, results: list[tuple[int, bool]], design: set[int]) -> None:
        told = by_count(results, design)
        each = told["by_count"]
        assert sum(score.episodes for score in each.values()) == len(results)
        assert sum(score.solved for score in each.values()) == sum(solved for _, solved in results)
        assert {count for count, score in each.items() if not score.held_out} == set(each) & design
        for rate, held_out in ((told["design_rate"], False), (told["held_out_rate"], True)):
            of_kind = [solved for count, solved in results if (count not in design) is held_out]
            assert rate == (sum(of_kind) / len(of_kind) if of_kind else None)
        best, once = told["largest_count_all_solved"], told["largest_count_any_solved"]
        assert best is None or (each[best].solve_rate == 1 and once is not None and once >= best)
        assert once == max((count for count, solved in results if solved), default=None)

    def test_without_numbers_there_is_no_score_of_them(self) -> None:
        assert by_count([(None, True)], ()) == {}


class TestKinderObjects:
    """Motion2D with any number of passages."""

    CONF = load_environments(CONF)["motion2d_generalized"]

    def test_it_plays_at_every_count(self) -> None:
        told = self.CONF.counts
        assert told is not None
        with closing(make_environment(self.CONF)) as environment:
            process = environment.another()
            space = build_space(environment.spaces()["observation_space"])
            for count in (*told.design, *told.held_out):
                begun = process.ask("run", "harness.evaluation.replaying:begin", {"seed": 1, "count": count})
                state = space.from_plain(begun["observation"])
                assert {thing.type.name for thing in state} <= {kind.name for kind in space.types}
                obstacles = [thing for thing in state.get_objects(space.get_type("rectangle")) if "obs" in thing.name]
                assert len(obstacles) == 2 * count
                process.ask("step", np.zeros(5, np.float32))
                assert process.ask("render").ndim == 3
            process.close()

    def test_states_are_exact_and_by_name(self) -> None:
        environment = made_here(self.CONF)
        environment.reset(3)
        environment.step(environment.action(np.full(5, 0.01)))
        state = environment.get_state()
        after = [environment.step(environment.action(np.full(5, 0.01))).observation["values"] for _ in range(2)]
        environment.reset(0)
        environment.set_state(state)
        assert environment.get_state() == state
        again = [environment.step(environment.action(np.full(5, 0.01))).observation["values"] for _ in range(2)]
        assert np.array_equal(after, again)

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"robot": {}}, "robot has exactly the features x, y, theta"),
            ({"obstacle9": {"x": 1.0}}, "a state has exactly the objects robot, target_region, obstacle0, obstacle1"),
        ],
    )
    def test_other_states_are_refused(self, change: dict[str, Any], said: str) -> None:
        environment = made_here(self.CONF)
        environment.reset(1)
        state = environment.get_state()
        with pytest.raises(ValueError, match=said):
            environment.set_state({"count": 1, "state": state["state"] | change})

    def test_a_class_that_is_not_one_of_kinder_is_refused(self) -> None:
        with pytest.raises(ValueError, match="is not a KinDER environment with a fixed number of objects"):
            KinderObjects("harness.environments.maze:Maze", 10)

    def test_an_argument_can_be_divided_between_others(self) -> None:
        path = "kinder.envs.kinematic2d.motion2d:Motion2DEnv"
        made = KinderObjects(path, 10, split={"both": ["num_passages"]}, both=2)
        assert len(made.reset(0)[0]["objects"]) == 2 + 4
        with pytest.raises(ValueError, match="split: both is divided between arguments"):
            KinderObjects(path, 10, split={"both": ["num_passages"]})

    def test_a_python_without_the_package_of_states_is_told_what_to_do(self, monkeypatch: pytest.MonkeyPatch) -> None:
        plain = made_here(self.CONF).spaces()["observation_space"]
        for name in [name for name in sys.modules if name.startswith("relational_structs.")]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, "relational_structs", None)
        with pytest.raises(ImportError, match="this Python lacks relational_structs: run `proctor setup --extra kinde"):
            space_of(plain)
        monkeypatch.setattr(factory, "find_spec", lambda name: None if name == "relational_structs" else True)
        lacking = factory.available(msgspec.structs.replace(self.CONF, interpreter="/nonesuch"))
        assert lacking is not None
        assert lacking.endswith("run `proctor setup --extra kinder`")
