"""Real CLIs on cassettes: the shipped ones, and recordings of every kind of service, played with the service gone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from backends.registry import backend, names
from harness.endings import Ending
from harness.gateway.cassette import load_cassette
from harness.gateway.script import load_script
from harness.gateway.scripted import ScriptedProvider
from harness.results.record import Record
from harness.sandbox.filesystem import WORKSPACE
from harness.seed_key import VARIABLE
from tests.support.played import PLAYED
from tests.support.project import ROOT, Project
from tests.support.replays import changed
from tests.support.seed import SEED
from tests.support.serving import MODEL, Machine
from tests.support.stand_in_upstream import Certificate, Upstream

KEY = "sk-host-0123456789"
SCRIPT = ROOT / "conf/scripts/stand_in.yaml"
OLLAMA_WIRES = ("openai_chat", "anthropic_messages", "openai_responses")
SHIPPED = sorted((ROOT / "conf/cassettes").iterdir())


def cassette_of(name: str, model: str) -> str:
    return f"conf/cassettes/{name}-{model}-small_maze.jsonl"


def damaged(cassette: Path) -> str:
    """Return the cassette as if the tool `Bash` of its CLI had taken other arguments."""
    lines = [json.loads(line) for line in cassette.read_text().splitlines()]
    lines[1]["asked"]["tools"]["Bash"] = "00000000"
    return "".join(f"{json.dumps(line)}\n" for line in lines)


def test_the_shipped_cassettes_are_played_by_every_cli_and_a_misfit_is_an_error(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.write("conf/model/old.yaml", "name: old\nprovider: cassette\nserved_as: stand_in\n")
    project.write(cassette_of("claude", "old"), damaged(ROOT / cassette_of("claude", "stand_in")))
    project.write(
        "conf/suite/mine.yaml",
        f"name: mine\nbackends: [{', '.join(PLAYED)}]\nmodels: [stand_in_replayed, old]\nenvironments: [small_maze]\n"
        f"exclude: [{', '.join(f'{{model: old, backend: {name}}}' for name in PLAYED if name != 'claude')}]\n",
    )
    shown = project.pytest("--suite", "mine", "--record-cassettes").stdout
    records = project.records
    misfit = records.pop("claude-old-small_maze")
    assert (misfit.ending, misfit.outcome, len(misfit.attempts)) == (Ending.HARNESS_ERROR, "error", 1), shown
    assert (
        "does not fit the request of turn 2: the tool Bash, which the answer calls, takes other" in misfit.explanation
    )
    assert "record it again with `pytest --record-cassettes -k claude-old-small_maze`" in misfit.explanation
    assert {record.case.backend for record in records.values()} == set(PLAYED)
    for record in records.values():
        assert (record.outcome, record.scripted) == ("passed", True), record.explanation
        assert record.played_from == "the stand-in stand_in (a script, not a model)"
        assert f"{record.case.id} " in shown, "its row names the model"
        again = load_cassette(tmp_path / cassette_of(record.case.backend, "stand_in_replayed"))
        first = load_cassette(ROOT / cassette_of(record.case.backend, "stand_in"))
        assert again.takes == first.takes, "a recording of the replay is the same"
        assert again.head.stand_in
    assert shown.count("a cassette of the stand-in stand_in (a script, not a model)") == len(PLAYED) + 1


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_cassette_is_small_marked_and_names_no_place_and_no_time(path: Path) -> None:
    text = path.read_text()
    assert load_cassette(path).head.stand_in
    assert "I am a stand-in" in text or "says the stand-in" in text
    assert len(text) < 32_000
    assert not any(place in text for place in (WORKSPACE, "/home/", "/root", "/usr/", "http://", "https://"))
    assert '\\"created\\":1' not in text
    assert '\\"created_at\\":1' not in text


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("name", "wire"), [(name, wire) for name in names() for wire in backend(name).capabilities.wires]
)
def test_a_session_with_a_remote_service_is_played_to_the_same_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, wire: str
) -> None:
    certificate = Certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.authority_file))
    monkeypatch.setenv("STAND_IN_KEY", KEY)
    with Upstream(certificate, ScriptedProvider(load_script(SCRIPT)), WORKSPACE) as upstream:
        project = _project(tmp_path / "project", name, wire)
        project.write(
            "conf/provider/service.yaml",
            f"name: service\nkind: remote\nbase_url: {upstream.url}\nwires: [{wire}]\n"
            "key_variable: STAND_IN_KEY\nkey_header: x-api-key\n",
        )
        project.write("conf/model/served.yaml", "name: served\nprovider: service\nserved_as: maker/served-5\n")
        first = _played(project, monkeypatch, "served", "--record-cassettes")
    monkeypatch.delenv("STAND_IN_KEY")
    _check(project, monkeypatch, first)
    recorded = (project.folder / cassette_of(name, "served")).read_text()
    assert not any(text in recorded for text in (KEY, WORKSPACE, str(tmp_path)))


@pytest.mark.nightly
@pytest.mark.parametrize("name", [name for name in names() if {*OLLAMA_WIRES} & {*backend(name).capabilities.wires}])
def test_a_session_with_ollama_is_played_to_the_same_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    machine = Machine(tmp_path, monkeypatch, gpus=1)
    machine.ollama.turn(script=str(SCRIPT))
    project = _project(tmp_path / "project", name, "")
    project.write("conf/model/served.yaml", f"name: served\nprovider: ollama\nserved_as: {MODEL}\ngpus: 1\n")
    first = _played(project, monkeypatch, "served", "--record-cassettes")
    assert machine.is_clean()
    machine.ollama.executable.unlink()
    _check(project, monkeypatch, first)


def _project(folder: Path, name: str, wire: str) -> Project:
    """Return a project with a suite of one backend, whose cassettes use this wire (or the preferred one)."""
    folder.mkdir()
    project = Project(folder)
    wire = wire or next(one for one in OLLAMA_WIRES if one in _wires(name))
    project.write("conf/provider/cassette.yaml", f"name: cassette\nkind: cassette\nwires: [{wire}]\n")
    project.write(
        "conf/suite/one.yaml", f"name: one\nbackends: [{name}]\nmodels: [served]\nenvironments: [small_maze]\n"
    )
    return project


def _wires(name: str) -> tuple[str, ...]:
    return tuple(backend(name).capabilities.wires)


def _played(project: Project, monkeypatch: pytest.MonkeyPatch, model: str, *options: str) -> Record:
    monkeypatch.setenv(VARIABLE, SEED)
    settings = (f"--set=suite.models=[{model}]", "--set=evaluation.episodes=3")
    done = project.pytest("--suite", "one", *settings, *options)
    assert done.returncode == 0, done.stdout + done.stderr
    [record] = project.records.values()
    return record


def _check(project: Project, monkeypatch: pytest.MonkeyPatch, first: Record) -> None:
    """Play the recording of `served`, and compare the records."""
    served_as = first.conditions["model"]
    project.write(
        "conf/model/replayed.yaml",
        f"name: replayed\nprovider: cassette\nserved_as: {served_as}\nscript: served\n",
    )
    again = _played(project, monkeypatch, "replayed")
    assert changed(first, again) == {}
    assert (again.scripted, again.played_from) == (True, f"the model {served_as}")
