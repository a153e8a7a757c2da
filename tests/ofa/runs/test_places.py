"""Places to write: looked at before the work; temporary folders of killed runs go with the next run."""

import errno
import os
import re
import signal
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from ofa.errors import InputError
from ofa.runs import system
from ofa.runs.files import replace_file
from ofa.runs.places import check_replaced, check_writable, temporary_folder
from ofa.search.__main__ import main as search

Usage = namedtuple("Usage", "total used free")


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    check_writable(tmp_path / "new" / "deep" / "a.csv")
    check_writable(tmp_path / "file")
    check_writable(tmp_path, folder=True)
    with pytest.raises(InputError, match=r"--out .* is a folder: name a file"):
        check_writable(tmp_path)
    with pytest.raises(InputError, match=r"--out .*file is a file: name a folder"):
        check_writable(tmp_path / "file", folder=True)
    for root in ("/", "/..", f"{tmp_path}/{'../' * len(tmp_path.parts)}"):
        with pytest.raises(InputError, match="is the root of the file system: name a folder in it"):
            check_writable(Path(root), folder=True)
    with pytest.raises(InputError, match="file is not a folder that you may write to"):
        check_writable(tmp_path / "file" / "a.csv")
    with pytest.raises(InputError, match=r"--out /.*\.\.\.: File name too long"):
        check_writable(tmp_path / ("x" * 5000))
    with pytest.raises(InputError, match=r"--out is '.*, which no file can be called"):
        check_writable(tmp_path / "a\0b")
    (tmp_path / "broken").symlink_to(tmp_path / "none")
    for path in (tmp_path / "broken", tmp_path / "broken" / "a.csv"):
        with pytest.raises(InputError, match="broken is a link to what is not there"):
            check_writable(path, folder=path.name == "broken")
    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage(10**9, 10**9, 3 * 2**20))
    with pytest.raises(InputError, match="3 MiB are free on its disk, 64 are needed"):
        check_writable(tmp_path / "a.csv")


@pytest.mark.parametrize("name", ["a\nb.csv", "a\x1b[2Jb.csv", "a\x9bb.csv", "\u202egpj.csv", "new\r/a.csv"])
def test_what_every_command_would_print_raw_is_no_name_of_a_result(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"^--out '.*\\.*' has a character that ends a line or steers a terminal"):
        check_writable(tmp_path / name)
    check_writable(tmp_path / "müller \udce4 年.csv")  # a byte of another encoding is none


def test_a_link_stays_one_and_what_it_leads_to_is_written(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "real.csv").write_text("old")
    (tmp_path / "near.csv").symlink_to(tmp_path / "data" / "real.csv")
    (tmp_path / "link.csv").symlink_to("near.csv")
    check_writable(tmp_path / "link.csv")
    replace_file(tmp_path / "link.csv", lambda temporary: temporary.write_text("new"))
    assert (tmp_path / "data" / "real.csv").read_text() == "new"
    assert [(tmp_path / name).is_symlink() for name in ("near.csv", "link.csv")] == [True, True]
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["real.csv"]


def test_a_device_or_a_pipe_is_never_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.json"
    os.mkfifo(pipe)
    with pytest.raises(InputError, match=r"--out .*pipe\.json is a device or a pipe: name a file"):
        check_writable(pipe)
    with pytest.raises(InputError, match=r"pipe\.json is a device or a pipe: name a file"):
        replace_file(pipe, lambda temporary: temporary.write_text("x"))
    assert pipe.is_fifo()
    assert [path.name for path in tmp_path.iterdir()] == ["pipe.json"]


@pytest.mark.skipif(os.getuid() == 0, reason="root may write anywhere")
def test_a_folder_without_the_right_to_write_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="is not a folder that you may write to"):
        check_writable(tmp_path / "a.csv")
    tmp_path.chmod(0o700)


def test_a_command_looks_before_it_works(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"--out .*file is a file: name a folder"):
        search(["--table", "no such table", "--out", str(tmp_path / "file")])


HOLD = """
import sys, time
from ofa.runs.places import temporary_folder
with temporary_folder("trial") as folder:
    print(folder, flush=True)
    time.sleep(600)
"""


WRITE = """
import sys, time
from pathlib import Path
from ofa.runs.files import replace_file
def write(temporary):
    temporary.write_text("half")
    print(temporary, flush=True)
    time.sleep(600)
replace_file(Path(sys.argv[1]), write)
"""


def test_what_a_killed_process_left_half_written_goes_with_the_next_write_and_a_living_ones_stays(
    tmp_path: Path,
) -> None:
    out = tmp_path / "a [1].csv"
    living, killed = (
        subprocess.Popen([sys.executable, "-c", WRITE, str(out)], stdout=subprocess.PIPE, text=True) for _ in range(2)
    )
    files = [Path(process.stdout.readline().strip()) for process in (living, killed) if process.stdout]
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    other = tmp_path / ".a [1].csv.abcd1234.tmp.mine"
    other.touch()
    replace_file(out, lambda temporary: temporary.write_text("whole"))
    assert out.read_text() == "whole"
    assert [file.exists() for file in (*files, other)] == [True, False, True]
    living.kill()
    living.communicate()
    replace_file(out, lambda temporary: temporary.write_text("again"))
    assert sorted(path.name for path in tmp_path.iterdir()) == [".a [1].csv.abcd1234.tmp.mine", "a [1].csv"]


def test_a_full_disk_of_temporary_files_is_named_and_another_disk_is_not_blamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    usage = namedtuple("usage", "free")
    full, denied = OSError(errno.ENOSPC, "No space left on device"), PermissionError(errno.EACCES, "no")

    def run(fault: OSError, free: int) -> None:
        monkeypatch.setattr("shutil.disk_usage", lambda _: usage(free))
        with temporary_folder("models"):
            raise fault

    with pytest.raises(InputError, match=rf"^{tmp_path}: its disk is full.* name another folder by TMPDIR$"):
        run(full, 4096)
    for fault, free in ((full, 1 << 30), (denied, 4096)):
        with pytest.raises(OSError, match=str(fault.strerror)):
            run(fault, free)
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_starts_does_not_take_what_another_is_just_making(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the moment that a folder or a file is made and that it is held, somebody may sweep."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    hold, mark, taken = system.hold_folder, system.mark_as_written, []

    def hold_late(folder: Path) -> int | None:
        if len(taken) == 0:  # swept before it is opened
            system.remove_folder_if_dead(folder)
        elif len(taken) == 1:  # who sweeps has it
            handle = os.open(folder, os.O_RDONLY)
            assert system.try_lock(handle)
            taken.append(folder)
            assert hold(folder) is None
            os.close(handle)
            return None
        taken.append(folder)
        return hold(folder)

    def mark_late(handle: int, path: Path) -> bool:
        if len(taken) == 3:
            system.remove_if_dead(path)
        taken.append(path)
        return mark(handle, path)

    monkeypatch.setattr(system, "hold_folder", hold_late)
    with temporary_folder("trial") as own:
        assert (own.is_dir(), len(set(taken)), own) == (True, 3, taken[2])
    monkeypatch.setattr(system, "mark_as_written", mark_late)
    replace_file(tmp_path / "a.csv", lambda temporary: temporary.write_text("whole"))
    assert len(set(taken)) == 5
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def test_folders_of_killed_runs_go_and_those_of_living_ones_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    living, killed = (
        subprocess.Popen([sys.executable, "-c", HOLD], stdout=subprocess.PIPE, text=True) for _ in range(2)
    )
    folders = [Path(process.stdout.readline().strip()) for process in (living, killed) if process.stdout]
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert all(folder.is_dir() for folder in folders)
    with temporary_folder("trial") as own:
        assert own.is_dir()
        assert [folder.is_dir() for folder in folders] == [True, False]
    assert not own.exists()
    living.kill()
    living.communicate()


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ('{"results": [], "checkpoint": "c", "more": 1}', False), ("", False), ('{"results": []}', True),
        ('[{"results": 0, "checkpoint": 0}]', True), ("a note of mine", True), ("\0", True),
    ],
)  # fmt: skip
def test_only_an_earlier_result_is_replaced(tmp_path: Path, text: str, refused: bool) -> None:
    path = tmp_path / "r.json"
    check_replaced(path, {"results", "checkpoint"}, "what ofa.evaluate writes")
    path.write_text(text, encoding="utf-8")
    if refused:
        with pytest.raises(InputError, match=r"r\.json is there, and is not what ofa\.evaluate writes: name another"):
            check_replaced(path, {"results", "checkpoint"}, "what ofa.evaluate writes")
    else:
        check_replaced(path, {"results", "checkpoint"}, "what ofa.evaluate writes")
    assert path.read_text(encoding="utf-8") == text


def test_every_command_whose_result_is_a_json_file_of_the_users_name_looks_first() -> None:
    root = Path(__file__).parents[3]
    files = [path for folder in ("ofa", "profilers") for path in (root / folder).rglob("*.py")]
    texts = {path: path.read_text(encoding="utf-8") for path in files}
    writers = [path for path, text in texts.items() if re.search(r"write_json\(config\.(out|json|file),", text)]
    known = {"winner_loop.py"}  # the figures of a loop, beside those that verify wrote, which looked
    assert len(writers) > 4
    assert [path for path in writers if "check_replaced(" not in texts[path] and path.name not in known] == []
