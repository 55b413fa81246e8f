"""Held-out seeds: the same for every backend and model, and never one that the agent can use."""

from hypothesis import given
from hypothesis import strategies as st

from harness.evaluation.seeds import FIRST_HELD_OUT, digest, episode_seeds

secrets = st.integers()
environments = st.text()
replicates = st.integers(min_value=0, max_value=1000)
counts = st.integers(min_value=0, max_value=50)


@given(secrets, environments, replicates, counts)
def test_seeds_are_distinct_repeatable_and_beyond_those_of_the_tools(
    secret: int, environment: str, replicate: int, count: int
) -> None:
    seeds = episode_seeds(secret, environment, replicate, count)
    assert len(seeds) == len(set(seeds)) == count
    assert all(FIRST_HELD_OUT <= seed < 2**31 for seed in seeds)
    assert seeds == episode_seeds(secret, environment, replicate, count)


@given(secrets, environments, replicates, counts)
def test_a_longer_list_begins_with_the_shorter_one(secret: int, environment: str, replicate: int, count: int) -> None:
    longer = episode_seeds(secret, environment, replicate, count + 5)
    assert longer[:count] == episode_seeds(secret, environment, replicate, count)


@given(st.lists(st.tuples(secrets, environments, replicates), min_size=2, max_size=5, unique=True))
def test_another_secret_environment_or_replicate_gives_other_seeds(keys: list[tuple[int, str, int]]) -> None:
    lists = [episode_seeds(*key, 4) for key in keys]
    assert len({tuple(seeds) for seeds in lists}) == len(lists)
    assert len({digest(seeds) for seeds in lists}) == len(lists)


def test_the_seeds_never_change_from_one_version_to_the_next() -> None:
    assert episode_seeds(0, "small_maze", 0, 3) == [32201465, 796479896, 356265907]
    assert (
        digest([32201465, 796479896, 356265907]) == "a01b0de1fe48a150f2bd841cefde35f40b0ef2284840cd4a395eb453f9a87e1e"
    )
