"""A command for several devices at once: one's failure is its own, all is told, and nothing runs on afterwards."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from profilers.profiling.beside import run_beside
from profilers.profiling.console import Progressed, progress_in
from profilers.profiling.several import Watch, profile_each, resumed, table_of_each

# in the place of the command for one phone: what becomes of it, its serial says
PHONE = """
import sys
words = sys.argv[1:]
given = dict(zip(words[:-1], words[1:]))
assert words.count("--serial") == words.count("--out") == 1
serial, out = given["--serial"], given["--out"]
print("measured 5 of 10 visits, about 7 s left")
print(" ".join(words))
if serial != "HOT":
    open(out, "w").write(serial)
if serial == "HOT":
    print("error: the phone is too hot", file=sys.stderr)
sys.exit({"GOOD": 0, "PART": 1, "HOT": 2}[serial])
"""


def test_each_process_is_heard_and_waited_for() -> None:
    said: list[tuple[str, str]] = []
    lines = "i=0; while [ $i -lt 300 ]; do i=$((i+1)); echo $i; echo e$i >&2; done; exit"
    codes = run_beside(
        {name: ["sh", "-c", f"{lines} {code}"] for name, code in (("a", 0), ("b", 3))},
        lambda name, line: said.append((name, line)),
    )
    assert codes == {"a": 0, "b": 3}
    for name in "ab":
        assert [line for of, line in said if of == name] == [f"{e}{i}" for i in range(1, 301) for e in ("", "e")]


@pytest.fixture
def listens_to_ctrl_c() -> Iterator[None]:
    """Background jobs of a shell, and whatever they start, ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("listens_to_ctrl_c")
@pytest.mark.parametrize("ended_by", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_all_and_waits_until_they_have_put_back_what_they_changed(
    tmp_path: Path, ended_by: signal.Signals
) -> None:
    waiting = [f"trap 'sleep 0.2; : > {tmp_path}/{name}; exit 130' TERM; echo on; while :; do sleep 0.02; done"
               for name in "ab"]  # fmt: skip
    begun: list[str] = []

    def stop(name: str, _line: str) -> None:
        begun.append(name)
        if len(begun) == 2:
            os.kill(os.getpid(), ended_by)

    with pytest.raises(KeyboardInterrupt):
        run_beside({name: ["sh", "-c", script] for name, script in zip("ab", waiting, strict=True)}, stop)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_if_nobody_listens_any_more_all_are_ended() -> None:
    def gone(_name: str, _line: str) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        run_beside({name: ["sh", "-c", "while :; do echo x; done"] for name in "ab"}, gone)


def test_one_phone_s_failure_is_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "phone.py").write_text(PHONE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    words = ["--serial", "GOOD", "--serial=PART", "--quick", "--serial", "HOT", "--out", "t.csv", "--overwrite"]

    def ended(*serials: str, failed: dict[str, str] | None = None) -> int:
        tables = table_of_each(tmp_path / "t.csv", {serial: serial.lower() for serial in serials})
        return profile_each("phone", words, tables, failed or {}, resumed("phone", words))

    assert ended("GOOD", "PART", "HOT", failed={"\x1b[31m": "it does not answer"}) == 1
    said = capsys.readouterr().out
    assert (tmp_path / "t-good.csv").read_text() == "GOOD"
    assert f"GOOD: --quick --overwrite --serial GOOD --out {tmp_path}/t-good.csv\n" in said
    assert "measured: " in said and "5 of 10 visits" in said and "about 7 s left" in said
    report = said[said.index("4 phones, ") :].splitlines()
    assert report[1:] == [
        "  \\x1b[31m: no table: it does not answer",
        f"  GOOD: wrote {tmp_path}/t-good.csv",
        f"  PART: wrote {tmp_path}/t-part.csv, in which blocks are missing",
        "  HOT: no table: the phone is too hot",
        "try again what failed with: python -m phone --serial GOOD --serial=PART --quick --serial HOT --out t.csv "
        "--resume",
    ]
    words[-1:] = ["--resume"]
    assert ended("GOOD") == 0
    assert "GOOD: --quick --resume --serial GOOD --out" in capsys.readouterr().out
    assert ended("HOT") == 2
    assert ended("GOOD", failed={"S": "gone"}) == 1


def test_how_far_a_process_is_comes_back_from_its_line() -> None:
    at = Progressed(120, 2400, 300.0)
    assert progress_in(str(at)) == at
    for line in ("", "measured 1 of 2 visits", f"x {at}", f"{at}x", "measured 1 of " + "9" * 5000):
        assert progress_in(line) is None


def test_the_time_left_is_that_of_the_last_phone() -> None:
    told: list[str] = []
    watch = Watch(3, told.append)
    watch.hear("A", str(Progressed(10, 20, 5)))
    watch.hear("B", str(Progressed(1, 20, 90)))
    watch.hear("A", "error: \x1b[31m")
    assert watch.summary() == (
        "measured: A 10 of 20 visits, B 1 of 20 visits (1 more have not begun, or have ended); about 90 s left"
    )
    assert told[1:] == ["A: error: \x1b[31m"]
    assert watch.errors == {"A": "\x1b[31m"}
