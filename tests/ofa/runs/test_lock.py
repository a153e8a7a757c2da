"""One run at a time: the second is told who holds it, a dead holder's is taken over, and nothing is left behind."""

import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from ofa.errors import InputError
from ofa.runs import lock, system
from ofa.runs.files import replace_file
from ofa.runs.journal import Journal
from ofa.runs.lock import Lock

HOLD = """
import sys, time
from pathlib import Path
from types import SimpleNamespace
from ofa.runs.lock import Lock
held = Lock(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path: Path):  # type: ignore[no-untyped-def]
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "a.csv")], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield process
        process.kill()


def test_the_second_is_told_who_holds_it(tmp_path: Path, holder: subprocess.Popen[bytes]) -> None:
    with pytest.raises(InputError, match=rf"a.csv is being written by process {holder.pid} on .* since 20.* UTC \(-c "):
        Lock(tmp_path / "a.csv")
    Lock(tmp_path / "b.csv").release()


def test_a_dead_holder_s_is_taken_over(tmp_path: Path, holder: subprocess.Popen[bytes]) -> None:
    holder.kill()
    holder.wait()
    assert (tmp_path / ".a.csv.lock").exists()
    Lock(tmp_path / "a.csv").release()
    assert list(tmp_path.iterdir()) == []


def test_what_a_dead_process_left_half_written_is_swept(tmp_path: Path) -> None:
    mine = tmp_path / ".a[1].csv.abc.tmp"
    other = tmp_path / ".a1.csv.abc.tmp"
    for path in (mine, other):
        path.touch()
    with Lock(tmp_path / "a[1].csv"):
        assert not mine.exists()
        assert other.exists()


def test_what_others_write_below_a_folder_is_not_swept(tmp_path: Path) -> None:
    inner = tmp_path / "out" / "demo" / "a.csv"
    left = tmp_path / "out" / "demo" / ".b.csv.abcdefgh.tmp"

    def write(temporary: Path) -> None:
        left.touch()
        temporary.write_text("whole")
        Lock(tmp_path / "out").release()
        assert temporary.exists()

    with Lock(inner):
        replace_file(inner, write)
    assert inner.read_text() == "whole"
    assert not left.exists()


def test_a_journal_has_one_writer(tmp_path: Path) -> None:
    journal = Journal.create(tmp_path / "j", {})
    journal.append({"a": 1})
    for again in (lambda: Journal.create(tmp_path / "j", {}), lambda: Journal.resume(tmp_path / "j", {})):
        with pytest.raises(InputError, match=f"is being written by process {os.getpid()}"):
            again()
    assert Journal.read(tmp_path / "j").records == [{"a": 1}]
    journal.close()
    Journal.resume(tmp_path / "j", {}).close()


def test_twenty_processes_at_once_hold_it_one_at_a_time(tmp_path: Path) -> None:
    code = HOLD.replace("time.sleep(600)", "(held.path.parent / 'inside').open('x').close()").replace(
        "print(", "time.sleep(0.2); print("
    )
    code += "\n(held.path.parent / 'inside').unlink(); held.release()"
    started = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "a.csv")], stderr=subprocess.PIPE)
        for _ in range(20)
    ]
    time.sleep(0)
    ended = [(process.communicate()[1], process.returncode) for process in started]
    assert any(code == 0 for _, code in ended)
    assert all(code == 0 or b"is being written by" in said for said, code in ended)
    assert not any(b"FileExistsError" in said for said, _ in ended)


def test_what_a_killed_run_left_in_its_folder_goes_and_nothing_else(tmp_path: Path) -> None:
    stage = tmp_path / "run" / "1-largest"
    stage.mkdir(parents=True)
    left = [stage / ".supernet.safetensors.j2ztrvd_.tmp", tmp_path / "run" / ".run.json.abcdefgh.tmp"]
    left.append(tmp_path / ".run.abcdefgh.tmp")
    kept = [stage / "x.tmp", stage / ".tmp", stage / ".mine.tmp", tmp_path / ".other.json.abcdefgh.tmp"]
    for file in (*left, *kept):
        file.write_text("x")
    with Lock(tmp_path / "run"):
        assert [file for file in left if file.exists()] == []
        assert [file for file in kept if not file.exists()] == []


def test_of_a_folder_with_far_too_much_only_what_is_near_is_swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """300 files in each of 40 folders, of which at most 1,000 entries are looked at."""
    monkeypatch.setattr(lock, "MOST_SWEPT", 1000)
    looked_at = []
    monkeypatch.setattr(lock, "_TEMPORARY", SimpleNamespace(fullmatch=lambda name: looked_at.append(name)))
    for i in range(40):
        (tmp_path / "home" / str(i)).mkdir(parents=True)
        for j in range(300):
            (tmp_path / "home" / str(i) / f"photo {j}.jpg").touch()
    (tmp_path / "home" / "notes.txt").touch()
    Lock(tmp_path / "home").release()
    assert len(looked_at) == 1000
    assert set(looked_at[:41]) == {"notes.txt", *map(str, range(40))}


@pytest.mark.parametrize("name", [".", "./", "..", "sub/..", "../run"])
def test_every_name_of_a_folder_leads_to_one_lock(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tmp_path / "run"
    (run / "sub").mkdir(parents=True)
    monkeypatch.chdir(run / "sub" if name == ".." else run)
    with Lock(run), pytest.raises(InputError, match=r"is being written by process"):
        Lock(Path(name))
    (tmp_path / ".run.12345678.tmp").touch()
    with Lock(Path(name)):
        assert (tmp_path / ".run.lock").exists()
        assert not (tmp_path / ".run.12345678.tmp").exists()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["run", "sub"]


def test_a_refused_run_leaves_no_folder_behind(tmp_path: Path) -> None:
    with Lock(tmp_path / "a" / "b" / "run"):
        assert (tmp_path / "a" / "b").is_dir()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_stays_that_somebody_put_a_file_into_or_that_was_there(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with Lock(tmp_path / "mine" / "run"), Lock(tmp_path / "mine" / "new" / "run"):
        (tmp_path / "mine" / "new" / "note").touch()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["mine", "new", "note"]
    with Lock(tmp_path / "a" / "run"), Lock(tmp_path / "a" / "other"):
        pass
    assert not (tmp_path / "a").exists()
    (tmp_path / "b").mkdir()
    Lock(tmp_path / "b" / "run").release()
    assert list((tmp_path / "b").iterdir()) == []


def test_a_folder_that_another_run_takes_away_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, opened = tmp_path / "a", system.open_lock

    def open_after_a_refusal(path: Path) -> int:
        monkeypatch.setattr(system, "open_lock", opened)
        folder.rmdir()
        return opened(path)

    monkeypatch.setattr(system, "open_lock", open_after_a_refusal)
    with Lock(folder / "run"):
        assert [path.name for path in folder.iterdir()] == [".run.lock"]
    assert not folder.exists()
