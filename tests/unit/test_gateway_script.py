"""Scripts: what they may contain, and how their calls map to the tools that a CLI offers."""

import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.conf_path import ConfPath
from harness.gateway.messages import OfferedTool
from harness.gateway.script import ScriptedCall, ScriptError, find_script, load_script
from harness.gateway.tool_mapping import UnknownTool, is_offered, map_call
from harness.packaged import packaged_conf


def schema(required: str, optional: str = "") -> dict[str, Any]:
    names = [*required.split(), *optional.split()]
    return {"type": "object", "properties": {name: {} for name in names}, "required": required.split()}


CLAUDE = [
    OfferedTool("Agent", schema("description prompt", "subagent_type")),
    OfferedTool("Bash", schema("command", "description timeout run_in_background")),
    OfferedTool("Edit", schema("file_path old_string new_string", "replace_all")),
    OfferedTool("Glob", schema("pattern", "path")),
    OfferedTool("Read", schema("file_path", "offset limit")),
    OfferedTool("Write", schema("file_path content")),
    OfferedTool("mcp__proctor__render_state", schema("seed", "state label")),
]
OPENCODE = [
    OfferedTool("bash", schema("command description", "timeout workdir")),
    OfferedTool("edit", schema("filePath oldString newString", "replaceAll")),
    OfferedTool("read", schema("filePath", "offset limit")),
    OfferedTool("todowrite", schema("todos")),
    OfferedTool("write", schema("content filePath")),
    OfferedTool("list", schema("path")),
    OfferedTool("proctor_render_state", schema("seed", "state label")),
]
CODEX = [
    OfferedTool("exec_command", schema("cmd", "workdir shell tty yield_time_ms")),
    OfferedTool("write_stdin", schema("session_id", "chars")),
    OfferedTool("view_image", schema("path")),
    OfferedTool("mcp__proctor.render_state", schema("seed", "state label")),
]
PI = [
    OfferedTool("read", schema("path", "offset limit")),
    OfferedTool("bash", schema("command", "timeout")),
    OfferedTool("edit", schema("path edits")),
    OfferedTool("write", schema("path content")),
]
COPILOT = [
    OfferedTool("bash", schema("command description", "shellId mode")),
    OfferedTool("view", schema("path", "view_range")),
    OfferedTool("create", schema("path file_text")),
    OfferedTool("edit", schema("path old_str new_str")),
    OfferedTool("proctor-render_state", schema("seed", "state label")),
]


def listed(name: str, items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": {name: {"type": "array", "items": items}}, "required": [name]}


CLINE = [
    OfferedTool("read_files", listed("files", schema("path", "start_line end_line"))),
    OfferedTool("run_commands", listed("commands", {"type": "string"})),
    OfferedTool("editor", schema("path new_text", "old_text insert_line")),
]


def load(folder: Path, text: str) -> Any:
    path = folder / "demo.yaml"
    path.write_text(text, "utf-8")
    return load_script(path)


@pytest.mark.parametrize(
    ("tools", "call", "name", "arguments"),
    [
        (CLAUDE, ScriptedCall(write="a.py", content="x"), "Write", {"file_path": "/w/a.py", "content": "x"}),
        (OPENCODE, ScriptedCall(write="a.py", content=""), "write", {"filePath": "/w/a.py", "content": ""}),
        (CLAUDE, ScriptedCall(run="ls"), "Bash", {"command": "ls", "description": "run ls"}),
        (OPENCODE, ScriptedCall(run="ls"), "bash", {"command": "ls", "description": "run ls"}),
        (CLAUDE, ScriptedCall(read="d/a.py"), "Read", {"file_path": "/w/d/a.py"}),
        (OPENCODE, ScriptedCall(read="/etc/x"), "read", {"filePath": "/etc/x"}),
        (CLAUDE, ScriptedCall(mcp="render_state", arguments={"seed": 0}), "mcp__proctor__render_state", {"seed": 0}),
        (OPENCODE, ScriptedCall(mcp="render_state"), "proctor_render_state", {}),
        (OPENCODE, ScriptedCall(tool="todowrite", arguments={"todos": []}), "todowrite", {"todos": []}),
        (PI, ScriptedCall(write="a", content="x"), "write", {"path": "/w/a", "content": "x"}),
        (PI, ScriptedCall(run="ls"), "bash", {"command": "ls"}),
        (PI, ScriptedCall(read="a"), "read", {"path": "/w/a"}),
        (CODEX, ScriptedCall(run="ls"), "exec_command", {"cmd": "ls"}),
        (CODEX, ScriptedCall(read="a b"), "exec_command", {"cmd": "cat '/w/a b'"}),
        (
            CODEX,
            ScriptedCall(write="d/a", content="it's\n"),
            "exec_command",
            {"cmd": """mkdir -p /w/d && printf %s 'it'"'"'s\n' > /w/d/a"""},
        ),
        (CODEX, ScriptedCall(mcp="render_state"), "mcp__proctor.render_state", {}),
        (CLINE, ScriptedCall(write="a", content="x"), "editor", {"path": "/w/a", "new_text": "x"}),
        (CLINE, ScriptedCall(run="ls"), "run_commands", {"commands": ["ls"]}),
        (CLINE, ScriptedCall(read="a"), "read_files", {"files": [{"path": "/w/a"}]}),
        (COPILOT, ScriptedCall(write="a", content="x"), "create", {"path": "/w/a", "file_text": "x"}),
        (COPILOT, ScriptedCall(read="a"), "view", {"path": "/w/a"}),
        (COPILOT, ScriptedCall(mcp="render_state"), "proctor-render_state", {}),
    ],
)
def test_a_call_is_mapped_to_the_offered_tools(
    tools: list[OfferedTool], call: ScriptedCall, name: str, arguments: dict[str, Any]
) -> None:
    assert map_call(call, tools, "/w") == (name, arguments)


@pytest.mark.parametrize(
    ("call", "tools", "message"),
    [
        (ScriptedCall(mcp="render_policy"), CLAUDE, r"`mcp: render_policy` fits none .*: Agent, Bash, Edit, .*, mcp__"),
        (ScriptedCall(tool="write"), CLAUDE, r"`tool: write` fits none"),
        (ScriptedCall(run="ls"), [OfferedTool("Read", schema("file_path"))], r"`run: ls` fits none .*: Read$"),
        (ScriptedCall(run="ls"), [OfferedTool("bash", schema("command secret"))], r"fits none"),
        (
            ScriptedCall(mcp="look"),
            [OfferedTool("a_look", {}), OfferedTool("b_look", {}), OfferedTool("c", {})],
            r"`mcp: look` fits several .*: a_look, b_look$",
        ),
    ],
)
def test_a_call_that_fits_no_tool_is_refused_with_the_offered_ones(
    call: ScriptedCall, tools: list[OfferedTool], message: str
) -> None:
    with pytest.raises(UnknownTool, match=message):
        map_call(call, tools, "/w")


@given(content=st.text(), path=st.from_regex(r"[a-z]{1,8}(/[a-z]{1,8}){0,2}", fullmatch=True))
def test_the_content_and_path_of_a_write_reach_every_cli_unchanged(content: str, path: str) -> None:
    for tools in (CLAUDE, OPENCODE):
        _, arguments = map_call(ScriptedCall(write=path, content=content), tools, "/sandbox/workspace")
        assert set(arguments.values()) == {content, f"/sandbox/workspace/{path}"}


@given(content=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_a_shell_writes_and_reads_if_no_tool_does(content: str) -> None:
    with TemporaryDirectory() as folder:
        for call in (ScriptedCall(write="sub dir/f", content=content), ScriptedCall(read="sub dir/f")):
            _, arguments = map_call(call, CODEX, folder)
            output = subprocess.run(["/bin/sh", "-c", arguments["cmd"]], capture_output=True, check=True).stdout
        assert output == content.encode()


def test_an_optional_call_is_made_only_if_its_tool_is_offered() -> None:
    look = ScriptedCall(mcp="render_state", optional=True)
    assert is_offered(look, CODEX)
    assert not is_offered(look, PI)


def test_a_script_with_every_key_is_read(tmp_path: Path) -> None:
    script = load(
        tmp_path,
        """
        turns:
          - text: I look first.
            calls:
              - mcp: render_state
                arguments: {seed: 0, day: 2025-01-01}
              - {read: a.py}
          - {delay_s: 2, fail: {status: 529, times: 2, retry_after: 0.5}}
          - {text: "", usage: {output_tokens: 7}}
        """,
    )
    first, second, third = script.turns
    assert [(call.kind, call.target) for call in first.calls] == [("mcp", "render_state"), ("read", "a.py")]
    assert first.calls[0].arguments == {"seed": 0, "day": "2025-01-01"}
    assert (second.delay_s, second.fail.status, second.fail.times, second.fail.retry_after) == (2, 529, 2, 0.5)
    assert (third.text, third.usage.output_tokens) == ("", 7)


def test_a_conversation_plays_the_turns_of_its_opening(tmp_path: Path) -> None:
    script = load(
        tmp_path,
        """
        turns: [{text: main}]
        conversations:
          - {opening: Count, turns: [{text: counted}]}
          - {opening: List, turns: [{text: listed}]}
        """,
    )
    said = [script.played_in(opening)[0].text for opening in ("Solve it.", "Count the files.", "List and Count", "")]
    assert said == ["main", "counted", "counted", "main"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("turns: []", r"length >= 1.*`\$\.turns`"),
        ("turn: []", r"unknown field `turn`"),
        ("", r"Expected `mapping`, got `null`"),
        ("turns: [{txt: hi}]", r"unknown field `txt`.*`\$\.turns\[0\]`"),
        ("turns: [{text: 5}]", r"Expected `text \| null`, got `int`.*text`"),
        ("turns: [{}]", r"a turn needs text, calls, delay_s, fail or usage"),
        ("turns: [{calls: [{run: a, read: b}]}]", r"exactly one of .*; this one has run and read"),
        ("turns: [{calls: [{arguments: {}}]}]", r"this one has none"),
        ("turns: [{calls: [{write: a.py}]}]", r"`write` and `content` go together"),
        ("turns: [{calls: [{run: a, arguments: {}}]}]", r"`arguments` goes with `mcp` or `tool`"),
        ("turns: [{calls: [{run: a, optional: true}]}]", r"`optional` goes with `mcp` or `tool`"),
        ("turns: [{fail: {}}]", r"a failure is exactly one of status"),
        ("turns: [{fail: {status: 200}}]", r">= 400"),
        ("turns: [{fail: {html: true, retry_after: 1}}]", r"`retry_after` goes with `status`"),
        ("turns: [{fail: {hang_after: 1, message: hm}}]", r"`message` goes with `status`"),
        ("turns: [{fail: {hang_after: 1, cut_after: 1}}]", r"a failure is exactly one of"),
        ("{turns: [{text: a}], conversations: [{opening: '', turns: [{text: b}]}]}", r"length >= 1.*opening"),
        ("turns: [{text: a", r"line 1"),
    ],
)
def test_a_bad_script_is_an_error_that_names_file_and_place(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ScriptError, match=rf"(?s)demo\.yaml: .*{message}"):
        load(tmp_path, text)


def test_a_script_that_is_no_yaml_or_no_utf8_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ScriptError, match=r'^\S+demo\.yaml: while parsing .* in "\S+demo\.yaml", line 2, column 1$'):
        load(tmp_path, "turns: [\n")
    (tmp_path / "demo.yaml").write_bytes(b"turns: [{text: caf\xe9}]")
    with pytest.raises(ScriptError, match=r"^\S+demo\.yaml: is not UTF-8: byte 18 is 0xe9; save the file as UTF-8$"):
        load_script(tmp_path / "demo.yaml")


def test_scripts_are_found_by_name_or_by_path(tmp_path: Path) -> None:
    conf = ConfPath.of(tmp_path)
    path = tmp_path / "conf/scripts/labyrinth.yaml"
    path.parent.mkdir(parents=True)
    path.write_text("turns: [{text: hi}]")
    assert find_script("labyrinth", conf) == path
    assert find_script(str(path), ConfPath.of(tmp_path / "elsewhere")) == path
    assert find_script("conf/scripts/labyrinth.yaml", conf) == path
    assert find_script("small_maze", conf) == packaged_conf() / "scripts/small_maze.yaml"
    with pytest.raises(ScriptError, match=r"there is no script door .*/door\.yaml\); choose from: labyrinth, motion2d"):
        find_script("door", conf)
    with pytest.raises(ScriptError, match=r"^doors/door\.yaml: there is no such file; write a path from "):
        find_script("doors/door.yaml", conf)


def test_the_projects_own_scripts_are_valid() -> None:
    paths = sorted((Path(__file__).parents[2] / "conf" / "scripts").glob("*.yaml"))
    assert paths
    assert all(load_script(path).turns for path in paths)
