"""The fixtures of the tests of a forwarding gateway."""

from collections.abc import Iterator

import pytest

from tests.support.forwarding import Bench, Opener, bench
from tests.support.stand_in_upstream import Upstream


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with bench(tmp_path_factory.mktemp("bench")) as both:
        yield both


@pytest.fixture(scope="module")
def upstream(both: Bench) -> Upstream:
    return both.upstream


@pytest.fixture(scope="module")
def opener(both: Bench) -> Opener:
    return both.open
