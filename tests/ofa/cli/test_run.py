"""How commands end: one line on stderr whatever is raised, the traceback of a fault of ours in a file."""

import errno
import importlib
import os
import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from rich.table import Table

from ofa.cli.command import Command
from ofa.cli.console import make_console
from ofa.cli.run import FAULT, run
from ofa.cli.streams import nobody_reads
from ofa.errors import InputError


def raising(error: BaseException) -> Callable[[], int]:
    def main() -> int:
        raise error

    return main


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (InputError("a.csv: wrong"), 2, "error: a.csv: wrong\n"),
        (OSError(errno.ENOSPC, "No space left on device", "a.csv"), 2, "error: No space left on device: a.csv\n"),
        (FileNotFoundError(errno.ENOENT, "No such file", "a\x1b[2J\nb"), 2, "error: No such file: a\\x1b[2J\\nb\n"),
        (KeyboardInterrupt(), 130, "stopped\n"),
        (KeyError("x"), FAULT, "error: a fault of ours: KeyError: 'x'; please report it with "),
        (
            ValueError("a\nb\x1b[31m"),
            FAULT,
            "error: a fault of ours: ValueError: a\\nb\\x1b[31m; please report it with ",
        ),
        (RecursionError("deep" * 1000), FAULT, "error: a fault of ours: RecursionError: deepdeep"),
    ],
)
def test_every_end_is_one_line(
    error: BaseException,
    code: int,
    line: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("ofa.cli.run.die_of_interrupts", lambda: None)  # of this process
    with pytest.raises(SystemExit) as ended:
        run(raising(error))
    said = capsys.readouterr().err
    assert ended.value.code == code
    assert said.startswith(line)
    assert said.count("\n") == 1
    written = list(tmp_path.glob("ofa-fault-*.txt"))
    assert len(written) == (code == FAULT)
    if written:
        assert said.endswith(f"{written[0]}\n")
        assert "Traceback" in written[0].read_text()


CUDA_SAID = (
    "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.11 GiB of which 12.38 MiB is "
    "free. Including non-PyTorch memory, this process has 79.09 GiB memory in use.\nmore"
)
CPU_SAID = (
    "[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory: you tried 9 bytes."
)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (torch.OutOfMemoryError(CUDA_SAID), "CUDA out of memory. Tried to allocate 2.00 GiB"),
        (torch.OutOfMemoryError(""), "OutOfMemoryError"),
        (RuntimeError(CPU_SAID), CPU_SAID),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED\nmore"), "cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        (MemoryError(), "MemoryError"),
    ],
)
def test_too_little_memory_is_no_fault_of_ours(error: Exception, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(raising(error))
    line = f"error: there is not enough memory ({said}): give a smaller --batch-size, fewer images or another --device"
    assert (ended.value.code, capsys.readouterr().err) == (2, f"{line}\n")


@pytest.mark.parametrize(
    ("program", "way_out"),
    [
        (
            "ofa.train",
            "continue with --graphs off --resume, or begin anew with a smaller --batch-size and another --out",
        ),
        ("ofa.evaluate", "give a smaller --batch-size, fewer images or another --device"),
        ("ofa.finetune", "give a smaller --batch-size, fewer images or another --device"),
        ("ofa.predictors.collect", "give a smaller --batch-size, fewer images or another --device"),
    ],
)
def test_programs_on_gpus_name_options_that_they_have(
    program: str, way_out: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = importlib.import_module(f"{program}.__main__")
    command = module.COMMAND
    assert set(re.findall(r"--[a-z-]+", way_out)) <= set(re.findall(r"--[a-z-]+", command.help()))
    monkeypatch.setattr(Command, "parse", lambda *_: raising(torch.OutOfMemoryError("CUDA out of memory"))())
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(module.__file__), run_name="__main__")
    expected = f"error: there is not enough memory (CUDA out of memory): {way_out}\n"
    assert (ended.value.code, capsys.readouterr().err) == (2, expected)


def test_a_fault_that_no_file_can_hold_is_shown_whole(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    with pytest.raises(SystemExit):
        run(raising(KeyError("x")))
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("shown", [print, lambda text: make_console().print(text)], ids=["print", "rich"])
def test_a_reader_that_went_away_ends_no_work_and_changes_no_exit_code(
    shown: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as pipe, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", pipe)

        done = 0

        def main() -> int:
            nonlocal done
            while done < 10_000:  # lines: beyond every buffer
                shown("a line")
                done += 1
            assert nobody_reads()
            return 3

        with pytest.raises(SystemExit) as ended:
            run(main)
    assert (ended.value.code, done) == (3, 10_000)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_the_work_and_what_it_starts_go_on_when_nobody_reads_either_stream(tmp_path: Path, unbuffered: str) -> None:
    code = "import subprocess, sys, time; from ofa.cli.run import run\n"
    code += "def main():\n    for _ in range(9):\n        time.sleep(0.02); print('a', flush=True)\n"
    code += "        print('b', file=sys.stderr)\n    subprocess.run(['echo', 'c'], check=True)\n"
    code += "    open(sys.argv[1], 'w').write('done')\n    return 3\nrun(main)"
    line = '"$0" -c "$1" "$2" 2>&1 | true; echo "${PIPESTATUS[0]}"'
    done = subprocess.run(
        ["bash", "-c", line, sys.executable, code, str(tmp_path / "out")],
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered}, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("3\n", "")
    assert (tmp_path / "out").read_text() == "done"


def test_what_steers_a_terminal_is_shown_as_escapes_wherever_it_stands(capsys: pytest.CaptureFixture[str]) -> None:
    name = "a\x1b[31m\x9b2J\u202e\udcff\x07[b]z"
    table = Table()
    table.add_column("b\x1b[2J")
    table.add_row(name)
    for show in (make_console().print, make_console().out):
        show(name)
        assert capsys.readouterr().out == "a\\x1b[31m\\x9b2J\\u202e\\udcff\\x07[b]z\n"
    make_console().print(table)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\udcff]", capsys.readouterr().out)


@pytest.mark.parametrize("closed", ["stdout", "stderr", ""])
def test_no_stream_and_no_encoding_ends_a_command(closed: str, tmp_path: Path) -> None:
    code = "from ofa.cli.run import run; from ofa.cli.console import make_console as made; "
    code += "run(lambda: made().print('K\u00e4\u2265'))"
    close = {"stdout": ">&-", "stderr": "2>&-", "": ""}[closed]
    done = subprocess.run(
        ["sh", "-c", f'exec "$0" -c "$1" {close}', sys.executable, code],
        env={**os.environ, "PYTHONIOENCODING": "ascii", "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    said = "" if closed == "stdout" else "K\\xe4\\u2265\n"
    assert (done.returncode, done.stdout, done.stderr) == (0, said, "")


def test_no_other_console_of_rich_is_made() -> None:
    root = Path(__file__).parents[3]
    files = [path for folder in ("ofa", "profilers", "latency_tables") for path in (root / folder).rglob("*.py")]
    assert len(files) > 200
    assert not [path for path in files if re.search(r"\bConsole\(", path.read_text(encoding="utf-8"))]


def test_a_word_that_nobody_would_read_is_cut_and_a_path_is_not() -> None:
    path = "/".join(["a folder", *["deep" * 20] * 8, "table.csv"])
    said = str(InputError(f"{path}: runtime is {'x' * 300}yz, expected another"))
    assert said == f"{path}: runtime is {'x' * 60}...{'x' * 17}yz, expected another"
