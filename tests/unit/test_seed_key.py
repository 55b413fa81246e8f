"""The private seed: `proctor seed`, where it comes from, and that cases of real models do not run without it."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from harness.case import ProviderConf, SandboxConf
from harness.commands.doctor import examine
from harness.commands.main import main
from harness.endings import ConfError
from harness.seed_key import PUBLIC, VARIABLE, SeedKey, key_file, key_in, make_key, private_key
from tests.support.cases import make_case
from tests.support.project import Project
from tests.support.seed import SEED

GOOD = Path(__file__).parents[1] / "security/good_policy.py"
NO_KEY = "the held-out episodes of real models derive from a private seed, and there is none for claude-qwen"


@pytest.fixture(autouse=True)
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a user who has no private seed yet."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv(VARIABLE, raising=False)
    return tmp_path / "config/proctor/seed"


class TestCommand:
    """`proctor seed`."""

    def test_it_makes_a_key_that_only_the_user_can_read_and_does_not_show_it(
        self, path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["seed"]) == 0
        key = private_key()
        assert key is not None
        assert capsys.readouterr().out == f"the private seed is in {path}; records have its digest, {key.digest}\n"
        assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
        assert list(path.parent.iterdir()) == [path]
        assert len(path.read_text().strip()) == 64

    def test_a_second_call_keeps_the_key_and_only_new_replaces_it(
        self, path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        main(["seed"])
        first = path.read_text()
        main(["seed"])
        assert path.read_text() == first
        said = capsys.readouterr().out.splitlines()
        assert said[0] == said[1]
        main(["seed", "--new"])
        assert path.read_text() != first
        assert capsys.readouterr().out.strip() != said[0]
        assert path.stat().st_mode & 0o777 == 0o600

    def test_show_prints_the_key_alone(self, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        main(["seed", "--show"])
        said = capsys.readouterr()
        assert said.out == path.read_text()
        assert said.err.startswith("the private seed is in ")

    def test_the_variable_comes_first_and_no_file_is_made(
        self, path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv(VARIABLE, f" {SEED.upper()}\n")
        main(["seed", "--show"])
        said = capsys.readouterr()
        assert (said.out, said.err.partition(";")[0]) == (f"{SEED}\n", "the private seed is in PROCTOR_SEED")
        assert not path.exists()
        main(["seed", "--new"])
        said = capsys.readouterr()
        assert f"the private seed is in {path}" in said.out
        assert "warning: PROCTOR_SEED is set, so cases use its key" in said.err

    def test_two_calls_at_once_agree(self, path: Path) -> None:
        key = make_key(path)
        with pytest.raises(FileExistsError):
            make_key(path)
        found = key_in(path)
        assert found is not None
        assert found.digest == key.digest
        assert list(path.parent.iterdir()) == [path]

    def test_doctor_tells_whether_there_is_one(self, path: Path) -> None:
        def finding() -> tuple[bool, bool, str]:
            found = next(one for one in examine() if one.name == "private seed")
            return found.ok, found.needed, found.detail

        assert finding() == (False, False, "none: cases of real models do not run; `proctor seed` makes one")
        key = make_key(path)
        assert finding() == (True, False, f"digest {key.digest}, in {path}")
        path.write_text("short")
        assert finding()[0] is False


def a_folder(path: Path) -> None:
    path.mkdir(parents=True)


def for_everybody(path: Path) -> None:
    make_key(path)
    path.chmod(0o644)


def too_short(path: Path) -> None:
    make_key(path)
    path.write_text(SEED[:30])


def a_broken_link(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.symlink_to("nowhere")


def below_a_file(path: Path) -> None:
    path.parents[1].write_text("")


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (a_folder, "{path} is a folder, and the private seed is a file: move it away"),
        (for_everybody, "other users may use it (mode 644): run `chmod 600 {path}`"),
        (too_short, "at least 32 hexadecimal digits (128 bits) and an even number of them, and it has 30 characters"),
        (a_broken_link, "{path} is a link that leads nowhere"),
        (below_a_file, "cannot read the private seed in {path}: Not a directory"),
    ],
)
def test_a_file_of_no_use_is_an_error_that_does_not_show_the_key(
    path: Path, capsys: pytest.CaptureFixture[str], spoil: object, told: str
) -> None:
    assert callable(spoil)
    spoil(path)
    with pytest.raises(SystemExit) as exited:
        main(["seed"])
    said = capsys.readouterr().err
    assert exited.value.code == 2
    assert told.format(path=path) in said
    assert SEED[:20] not in said


@given(st.text(st.sampled_from("0123456789abcdefg -"), max_size=80).filter(str.strip))
def test_a_variable_is_a_key_of_128_bits_or_an_error_that_does_not_show_it(text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, text)
        word = text.strip()
        if len(word) >= 32 and len(word) % 2 == 0 and not set(word) & set("g -"):
            key = private_key()
            assert key is not None
            assert key.reveal() == word
        else:
            with pytest.raises(ConfError) as caught:
                private_key()
            assert len(word) < 8 or word not in str(caught.value)


@pytest.mark.parametrize("text", ["", "  "])
def test_an_empty_variable_counts_as_none_because_ci_sets_missing_secrets_to_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv(VARIABLE, text)
    assert private_key() is None
    make_key(path)
    assert private_key() is not None


@pytest.mark.parametrize("given", [None, "relative"])
def test_without_a_valid_folder_the_key_is_below_the_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str | None
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", given) if given else monkeypatch.delenv("XDG_CONFIG_HOME")
    assert key_file() == tmp_path / ".config/proctor/seed"


def test_a_key_is_neither_printed_nor_pickled() -> None:
    key = SeedKey(bytes.fromhex(SEED), "here")
    assert SEED[:8] not in f"{key} {key!r} {[key]}"
    with pytest.raises(TypeError, match="never pickled"):
        pickle.dumps(key)
    assert key.digest != SeedKey(bytes.fromhex(SEED[2:]), "here").digest
    assert PUBLIC.digest == "public"


def test_without_a_sandbox_the_record_of_a_real_model_says_that_the_seed_can_be_read() -> None:
    open_case = replace(make_case(), sandbox=SandboxConf("none", kind="none"))
    assert open_case.doubts == ["sandbox none hides nothing: the agent and its program can read the private seed"]
    assert make_case().doubts == []
    assert replace(open_case, provider=ProviderConf("scripted", kind="scripted", wires=[])).doubts == []


REAL = "backends: [claude]\nmodels: [scripted, qwen3_coder_30b]\nenvironments: [small_maze]\n"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "project").mkdir()
    project = Project(tmp_path / "project")
    project.write("conf/suite/real.yaml", f"name: real\n{REAL}")
    return project


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["here", "in workers"])
def test_a_real_model_does_not_run_without_a_key_and_one_message_says_what_to_do(
    project: Project, path: Path, workers: tuple[str, ...]
) -> None:
    done = project.pytest("--suite", "real", *workers)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert (done.stdout + done.stderr).count(NO_KEY) == 1
    assert f"run `proctor seed`, which makes {path}, or set PROCTOR_SEED" in done.stderr
    assert not (project.folder / "runs").exists()


HANDED_IN = """\
import pathlib
import pytest

@pytest.fixture
def submission(case):
    return pathlib.Path("good")

def test_it(case, score):
    assert score.solve_rate == 1
"""


def test_a_key_of_no_use_is_an_error_but_not_for_collecting_and_not_for_scripted_cases(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write("test_cases.py", HANDED_IN)
    project.write("good/approach.py", GOOD.read_text())
    monkeypatch.setenv(VARIABLE, "short")
    done = project.pytest("--suite", "real")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "ERROR: PROCTOR_SEED holds no usable private seed" in done.stderr
    listed = project.pytest("--suite", "real", "--collect-only", "-q")
    assert "2 tests collected" in listed.stdout
    done = project.pytest("--suite", "real", "-k", "scripted")
    assert done.returncode == 0, done.stdout + done.stderr
    [record] = project.records.values()
    assert record.seed_key == PUBLIC.digest
    assert record.warnings == []
