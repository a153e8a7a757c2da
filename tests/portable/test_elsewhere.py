"""Windows and macOS, played by Linux (see elsewhere/sitecustomize.py): the whole way to a model file works there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
# what macOS lacks beside Linux is in these alone
STEPS = {"win32": [], "darwin": ["locks", "profile"]}


def played(folder: Path, system: str, *words: str) -> subprocess.CompletedProcess[str]:
    """A Python that takes this machine for another, whose console knows few characters.

    folder: for temporary files, away from those of processes on Linux, which hold their folders by other locks
    """
    environment = {
        **os.environ, "OFA_ELSEWHERE": system, "PYTHONPATH": f"{HERE / 'elsewhere'}{os.pathsep}{ROOT}",
        "PYTHONWARNDEFAULTENCODING": "1", "PYTHONIOENCODING": "cp1252", "OMP_NUM_THREADS": "1",
        "TMPDIR": str(folder),
    }  # fmt: skip
    return subprocess.run(
        [sys.executable, *words], env=environment, capture_output=True, encoding="cp1252", errors="replace"
    )


@pytest.mark.slow
@pytest.mark.parametrize("system", STEPS)
def test_all_commands_work_there(tmp_path: Path, system: str) -> None:
    done = played(tmp_path, system, str(HERE / "walk.py"), *STEPS[system])
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-6000:]


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("import fcntl", "No module named 'fcntl', on win32"),
        ("import os; os.killpg", "no attribute 'killpg' on win32"),
        ("from signal import SIGKILL", "SIGKILL"),
        ("import subprocess; subprocess.Popen(['true'], pass_fds=[1])", "not supported on Windows"),
        ("from pathlib import Path; f = Path('a').open('wb'); Path('b').touch(); Path('b').replace('a')", "being used"),
        ("from pathlib import Path; f = Path('a').open('wb'); Path('a').unlink()", "being used"),
        ("from pathlib import Path; Path('10:30.csv').write_bytes(b'')", "Not a name on Windows"),
        ("from pathlib import Path; Path('a').write_text('')", "EncodingWarning"),
        ("import os; os.open('.', os.O_RDONLY)", "Permission denied"),
    ],
)
def test_a_planted_fault_is_refused_there(tmp_path: Path, code: str, error: str) -> None:
    """Only in the project's own modules: the others are those of Linux."""
    start = f"import sys; g = {{'__file__': {str(ROOT / 'ofa' / 'x.py')!r}, '__name__': 'ofa.x'}}; exec({code!r}, g)"
    done = played(tmp_path, "win32", "-c", f"import os; os.chdir({str(tmp_path)!r}); {start}")
    assert done.returncode == 1
    assert error in done.stderr.splitlines()[-1]
