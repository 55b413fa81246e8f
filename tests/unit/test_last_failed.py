"""pytest's own `--lf` selects the cases whose tests failed or ended with an error, with and without workers."""

from __future__ import annotations

from pathlib import Path

from tests.support.ending_agents import FIRST, SECOND, TEST, THIRD, ran
from tests.support.project import Project


class CachingProject(Project):
    """A project in which pytest remembers what failed."""

    def command(self, *arguments: str) -> list[str]:
        """See `Project.command`."""
        return [word for word in super().command(*arguments) if word not in {"-p", "no:cacheprovider"}]


def test_lf_selects_exactly_the_cases_that_failed_or_ended_with_an_error(tmp_path: Path) -> None:
    project = CachingProject(tmp_path)
    project.write("test_cases.py", TEST)
    project.write("test_other.py", "def test_opencode_too(): assert 0\n")
    project.write("bad", f"{FIRST} {THIRD}")
    project.write("broken", SECOND)
    project.pytest("test_cases.py", "test_other.py")
    ran(project)
    project.write("bad", THIRD)
    assert "1 failed, 1 passed, 1 error" in project.pytest("--suite", "default", "--lf", "-n", "2").stdout
    assert set(ran(project)) == {FIRST, SECOND, THIRD}
    project.pytest("--suite", "default", "--lf")
    assert ran(project) == [SECOND, THIRD], "what passed meanwhile does not run again"
    project.pytest("-k", "opencode", "--lf")
    assert ran(project) == [THIRD]
