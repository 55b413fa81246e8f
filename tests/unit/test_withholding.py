"""Files of a case that hold a secret of the host are not kept, and the record warns of them."""

import base64
import io
import os
import tarfile
import time
from functools import partial
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.secrecy import withholding
from harness.secrecy.scan import PIECE, scan
from harness.secrecy.withholding import warnings, withhold
from harness.untrusted.archive import keep
from tests.support.ordinary_user import as_ordinary_user, folder_of_an_ordinary_user
from tests.support.project import Project

KEY = "sk-host/0123+4567=89_abcdef"
NAMED = KEY.replace("/", "-")
SECRETS = {"the key in DEMO_API_KEY": KEY}
FORMS = {
    "an Anthropic key": f"sk-ant-api03-{'aB3_-' * 19}",
    "an OpenAI key": f"sk-proj-{'aB3_-' * 12}",
    "an OpenRouter key": f"sk-or-v1-{'0a' * 32}",
    "a Google key": f"AIza{'aB3_-' * 7}",
    "a GitHub token": f"ghp_{'aB3' * 12}",
    "a Hugging Face token": f"hf_{'aB' * 17}",
    "an AWS key": "AKIAABCDEFGH234567AB",
    "a private key": f"-----BEGIN OPENSSH PRIVATE KEY-----\\n{'b3Bl' * 17}",
}


@pytest.mark.parametrize(
    "written",
    [KEY, quote(KEY, safe=""), base64.b64encode(b"Bearer " + KEY.encode()).decode(), KEY.encode().hex()],
    ids=["plain", "URL", "base64", "hexadecimal"],
)
@pytest.mark.parametrize("before", [0, 5, PIECE - 7])
def test_a_secret_of_the_host_is_found(written: str, before: int) -> None:
    assert scan(io.BytesIO(b" " * before + written.encode()), SECRETS) == ["the key in DEMO_API_KEY"]


@pytest.mark.parametrize("what", FORMS)
def test_a_key_of_a_known_form_is_found(what: str) -> None:
    for text in (FORMS[what], f'{{"text": "a\\n{FORMS[what]}"}}', f"x={FORMS[what]};"):
        assert scan(io.BytesIO(text.encode()), {}) == [what]


def test_examples_of_keys_are_no_keys() -> None:
    text = "sk-ant-api03-... sk-... ghp_xxx AKIAEXAMPLE hf_token task-proj- -----BEGIN PRIVATE KEY----- [key]"
    assert scan(io.BytesIO(text.encode()), SECRETS) == []


@given(st.binary(max_size=300))
def test_anything_may_be_scanned(data: bytes) -> None:
    assert scan(io.BytesIO(data), {"it": "an-unlikely-secret"}) == []


def test_a_file_with_a_secret_is_withheld_and_named(tmp_path: Path) -> None:
    inner = tmp_path / "workspace" / "deep"
    inner.mkdir(parents=True)
    (inner / "notes\x1b.md").write_text(f"it is {KEY}")
    (inner / "approach.py").write_text("def act(): ...")
    (tmp_path / "stream.jsonl").write_text(f'{{"key": "{base64.b64encode(KEY.encode()).decode()}"}}')
    (tmp_path / "link").symlink_to(inner / "approach.py")
    os.mkfifo(tmp_path / "fifo")
    found = withhold(tmp_path, SECRETS)
    assert warnings(found) == [
        "stream.jsonl is withheld: it holds the key in DEMO_API_KEY",
        "'workspace/deep/notes\\x1b.md' is withheld: it holds the key in DEMO_API_KEY",
    ]
    left = {path.name for path in tmp_path.rglob("*")}
    assert left == {"workspace", "deep", "approach.py", "link", "fifo"}


def test_a_name_with_a_secret_is_not_kept(tmp_path: Path) -> None:
    case = tmp_path / "case"
    (case / f"x{NAMED}y").mkdir(parents=True)
    (case / f"x{NAMED}y/notes.txt").write_text("fine")
    (case / f"{NAMED}.py").write_text("fine")
    found = withhold(case, {"the key": NAMED})
    assert [one.why for one in found] == ["its name held the key"] * 2
    assert [path.read_text() for path in case.rglob("*") if path.is_file()] == ["fine"]
    assert NAMED not in str([*case.rglob("*"), *found])


def test_an_archive_holds_no_name_with_a_secret(tmp_path: Path) -> None:
    (tmp_path / f"workspace/x{NAMED}y").mkdir(parents=True)
    (tmp_path / f"workspace/x{NAMED}y/inner.txt").write_text("fine")
    (tmp_path / "workspace/notes.txt").write_text("fine")
    keep(tmp_path / "workspace", partial(scan, secrets={"the key": NAMED}))
    with tarfile.open(tmp_path / "workspace.tar.gz") as archive:
        assert archive.getnames() == ["workspace", "workspace/notes.txt"]
    listing = (tmp_path / "workspace.txt").read_text()
    assert "One name in workspace holds the key." in listing
    assert NAMED not in listing


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "key").write_text(KEY)
    case = tmp_path / "case"
    case.mkdir()
    (case / "folder").symlink_to(outside)
    (case / "file").symlink_to(outside / "key")
    assert withhold(case, SECRETS) == []
    assert (outside / "key").exists()


def test_what_cannot_be_searched_is_withheld(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(withholding, "MOST_FILES", 30)
    for number in range(60):
        (tmp_path / f"{number:03}").touch()
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(1 << 40)
    began = time.monotonic()
    told = warnings(withhold(tmp_path, SECRETS))
    assert time.monotonic() - began < 5
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{number:03}" for number in range(30)]
    assert "030 is withheld: only 30 files and 512 MB of a case are searched for keys" in told
    assert told[-1] == "11 more files are withheld"


def test_no_mode_hides_a_secret_from_an_ordinary_user() -> None:
    with folder_of_an_ordinary_user() as folder:

        def hide_and_look() -> list[str]:
            for mode in (0, 0o300, 0o500):
                inner = folder / f"{mode:o}"
                inner.mkdir()
                (inner / "key").write_text(KEY)
                (inner / "key").chmod(mode & 0o200)
                inner.chmod(mode)
            return warnings(withhold(folder, SECRETS))

        told = as_ordinary_user(hide_and_look)
        assert [one.partition(" ")[0] for one in told] == ["0/key", "300/key", "500/key"]
        assert list(folder.rglob("key")) == []


def test_a_folder_that_does_not_exist_holds_nothing(tmp_path: Path) -> None:
    assert withhold(tmp_path / "none", SECRETS) == []


def test_a_case_keeps_no_file_with_a_key_and_its_record_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("PROCTOR_SEED", "0123456789abcdef" * 4)
    project = Project(tmp_path)
    policy = (Path(__file__).parents[1] / "security/good_policy.py").read_text()
    project.write("mine/approach.py", f"{policy}\nprint({base64.b64encode(KEY.encode())!r})\n")
    project.write("mine/notes.txt", "0123456789abcdef" * 4)
    project.write("mine/data.txt", "nothing secret")
    done = project.pytest("--submission", "mine", "--suite", "pr", "-k", "small_maze", "--set=evaluation.episodes=1")
    [record] = project.records.values()
    assert (record.outcome, done.returncode) == ("passed", 0), done.stdout
    names = ("policy.log", "submission/approach.py")
    told = [f"{name} is withheld: it holds the key in OPENAI_API_KEY" for name in names]
    assert [one for one in record.warnings if "withheld" in one] == [
        *told,
        "submission/notes.txt is withheld: it holds the private seed",
    ]
    assert record.artifacts is not None
    case = project.folder / "runs/latest" / record.artifacts
    assert [path.name for path in (case / "submission").iterdir()] == ["data.txt"]
    assert not (case / "policy.log").exists()
    assert KEY not in done.stdout + done.stderr


def test_a_record_shows_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    project = Project(tmp_path)
    project.write("mine/approach.py", "")
    project.write("test_mine.py", f"def test_mine(case, score):\n    raise ValueError({KEY!r})\n")
    project.pytest("test_mine.py", "--submission", "mine", "--suite", "pr", "-k", "small_maze")
    [record] = project.records.values()
    assert "ValueError: [key]" in record.explanation
    assert KEY not in (project.folder / "runs/latest/results.jsonl").read_text()
