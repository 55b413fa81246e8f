"""A scripted case whose script cannot be played is refused before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.case import Case
from harness.endings import ConfError
from harness.options import CommandLine
from harness.run import Run
from harness.suite.choice import Choice

CALL = "turns: [{{calls: [{}]}}]\n"
SUITE = "name: mine\nbackends: {}\nmodels: [player]\nenvironments: [small_maze]\n"


class Player:
    """A project whose suite `mine` plays one script, `conf/scripts/played.yaml`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.write("conf/suite/mine.yaml", SUITE.format("[claude]"))
        self.plays("played")

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def plays(self, script: str) -> None:
        self.write("conf/model/player.yaml", f"name: player\nprovider: scripted\nscript: {script}\n")

    def cases(self, choice: Choice = Choice()) -> list[Case]:  # noqa: B008 - it is frozen
        return Run(self.folder, self.folder / "runs/x", CommandLine(suite="mine"), choice).cases


@pytest.fixture
def player(tmp_path: Path) -> Player:
    return Player(tmp_path)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("nope", r"there is no script nope \(conf/scripts/nope\.yaml\); choose from: .*small_maze"),
        ("mine/nope.yaml", r"mine/nope\.yaml: there is no such file; write a path from /\S+, or the name of a file"),
        ("nope.yml", r"nope\.yml: there is no such file"),
        ("conf/model/", r"conf/model: it is a folder"),
        ("old", r"there is no script old .*; conf/scripts/old\.yml is not read: rename it to old\.yaml$"),
        ("null", r"null stands for the script named after the environment, and there is no script small_lab"),
    ],
)
def test_a_script_that_does_not_exist(player: Player, script: str, said: str) -> None:
    player.write("conf/scripts/old.yml", "turns: [{text: hi}]\n")
    player.write(
        "conf/environment/small_lab.yaml", "name: small_lab\nkind: maze\narguments: {min_size: 3, max_size: 5}\n"
    )
    player.write("conf/suite/mine.yaml", SUITE.format("[claude]").replace("small_maze", "small_lab"))
    player.plays(script)
    with pytest.raises(ConfError, match=rf"^conf/model/player\.yaml: model\.player\.script: {said}"):
        player.cases()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("turns: [\n", r"while parsing a flow node .* line 2, column 1$"),
        ("turns: 3\n", r"Expected `list`, got `int` - at `\$\.turns`$"),
        ("", r"Expected `mapping`, got `null`$"),
        (
            CALL.format("{mcp: rendr_state}"),
            r"turns\[0\]\.calls\[0\]: mcp: rendr_state: .*: render_state, render_policy$",
        ),
        (CALL.format("{mcp: rendr_state, optional: true}"), r"turns\[0\]\.calls\[0\]: mcp: rendr_state: "),
        (
            CALL.format("{run: ls}, {tool: Bsh}"),
            r"turns\[0\]\.calls\[1\]: tool: Bsh: backend claude has no such tool, so .*Bash",
        ),
        (
            "turns: [{text: hi}]\nconversations: [{opening: a, turns: [{text: hi}, {calls: [{tool: Task}]}]}]\n",
            r"conversations\[0\]\.turns\[1\]\.calls\[0\]: tool: Task: .*: Agent, Bash",
        ),
    ],
)
def test_a_script_that_cannot_be_played(player: Player, text: str, said: str) -> None:
    player.write("conf/scripts/played.yaml", text)
    with pytest.raises(ConfError, match=rf"^conf/scripts/played\.yaml: {said}") as refused:
        player.cases()
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("backend", "call"),
    [
        ("claude", "{tool: mcp__environment__render_state}"),
        ("claude", "{tool: Agent, arguments: {prompt: hi}}"),
        ("opencode", "{tool: environment_render_state}"),
        ("codex", "{tool: multi_agent_v1.spawn_agent}"),
        ("pi", "{tool: bash}"),
        ("pi", "{mcp: render_state, optional: true}"),
        ("pi", "{tool: Bash, optional: true}"),
    ],
)
def test_a_call_that_the_backend_can_make_or_leave_out_is_accepted(player: Player, backend: str, call: str) -> None:
    player.write("conf/suite/mine.yaml", SUITE.format(f"[{backend}]"))
    player.write("conf/scripts/played.yaml", CALL.format(call))
    assert [case.backend.name for case in player.cases()] == [backend]


def test_only_the_backends_that_are_chosen_must_be_able_to_play_it(player: Player) -> None:
    player.write("conf/suite/mine.yaml", SUITE.format("[claude, pi]"))
    player.write("conf/scripts/played.yaml", CALL.format("{mcp: render_state}"))
    with pytest.raises(ConfError, match=r"mcp: render_state: backend pi has no MCP, so pi-player-small_maze cannot"):
        player.cases()
    assert len(player.cases(Choice(backend=("claude",)))) == 1
