"""Ctrl-C while modules load: every command ends with a word; a program that only imports us is left as it is."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from ofa.cli.loading import end_quietly, make_interruptible
from tests.helpers.programs import ROOT, programs

# the process sends Ctrl-C to itself when it looks for the so-many-th module after the first of its command
INTERRUPTER = """
import os, signal, sys
class Interrupter:
    left = int(os.environ["LOOKED_FOR"])
    def find_spec(self, name, path=None, target=None):
        if self.left is not None and (name.startswith(("ofa", "profilers", "latency_tables", "device_agents"))
                                      or self.left < int(os.environ["LOOKED_FOR"])):
            self.left -= 1
            if self.left == 0:
                self.left = None
                os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupter())
"""


def interrupted(words: Sequence[str], moment: int, folder: Path) -> tuple[int, str, str]:
    """Of `python words`: exit code, standard output and standard error."""
    (folder / "sitecustomize.py").write_text(INTERRUPTER)
    path = os.pathsep.join([str(folder), str(ROOT)])
    env = {**os.environ, "PYTHONPATH": path, "LOOKED_FOR": str(moment)}
    done = subprocess.run([sys.executable, *words], env=env, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("program", programs())
def test_ctrl_c_while_a_command_loads_is_a_word(program: str, tmp_path: Path) -> None:
    assert interrupted(["-m", program, "--help"], 14, tmp_path) == (130, "", "stopped\n")


@pytest.mark.parametrize("moment", [10, 40, 80, 160, 240])
@pytest.mark.parametrize("program", ["ofa.search", "profilers.cpu"])
def test_ctrl_c_at_any_early_moment_is_a_word(program: str, moment: int, tmp_path: Path) -> None:
    assert interrupted(["-m", program, "--help"], moment, tmp_path) == (130, "", "stopped\n")


@pytest.mark.parametrize("moment", [14, 60])
def test_the_console_script_is_a_command_too(moment: int, tmp_path: Path) -> None:
    script = tmp_path / "ofa"
    script.write_text("from ofa.cli.overview import program\nprogram()\n")
    assert interrupted([str(script), "search", "--help"], moment, tmp_path) == (130, "", "stopped\n")


def test_the_work_of_a_command_ends_in_order(tmp_path: Path) -> None:
    script = tmp_path / "ofa"
    script.write_text(
        "import os, signal\nfrom ofa.cli.run import run\ndef main():\n    try:\n        os.kill(os.getpid(), 2)\n"
        "        signal.pause()\n    finally:\n        print('saved')\nrun(main)\n"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, str(script)], env=env, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, "saved\n", "stopped\n")


def test_ctrl_c_while_an_ended_command_clears_up_is_no_traceback(tmp_path: Path) -> None:
    script = tmp_path / "ofa"
    script.write_text(
        "import atexit, os\nfrom ofa.cli.run import run\ndef main():\n    os.kill(os.getpid(), 2)\n"
        "atexit.register(lambda: os.kill(os.getpid(), 2))\nrun(main)\n"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, str(script)], env=env, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "stopped\n")


def test_a_program_that_imports_us_keeps_its_ctrl_c(tmp_path: Path) -> None:
    code = "import signal, ofa, profilers; print(signal.getsignal(2) is signal.default_int_handler)"
    (tmp_path / "mine.py").write_text(code)
    for words in (["mine.py"], ["-m", "mine", "ofa.search"], ["-c", code, "-m", "ofa.search"]):
        done = subprocess.run([sys.executable, *words], cwd=tmp_path, capture_output=True, text=True)
        assert (done.stdout, done.stderr) == ("True\n", "")


@pytest.mark.parametrize(
    ("words", "arguments", "ours"),
    [
        (["python", "-m", "ofa.search", "--help"], ["-m", "--help"], True),
        (["python", "-X", "dev", "-m", "profilers.cpu"], ["/profilers/cpu.py"], True),
        (["python", "/usr/bin/ofa", "search"], ["/usr/bin/ofa", "search"], True),
        (["python", "-m", "mine", "-m", "ofa.search"], ["-m", "-m", "ofa.search"], False),
        (["python", "train.py", "ofa"], ["train.py", "ofa"], False),
        (["python", "-m", "pytest"], ["-m"], False),
        (["python"], [""], False),
        ([], [], False),
    ],
)
def test_what_a_command_of_ours_is(words: list[str], arguments: list[str], ours: bool) -> None:
    before = signal.getsignal(signal.SIGINT)
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        end_quietly(words, arguments)
        assert (signal.getsignal(signal.SIGINT) is not signal.default_int_handler) == ours
        make_interruptible()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell's background job has it
        end_quietly(words, arguments)
        make_interruptible()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
