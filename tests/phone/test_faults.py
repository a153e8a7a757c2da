"""What can go wrong with a phone while it measures: nothing measured is lost, and the message says what to do."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from device_agents.android import bundle
from device_agents.android.testphone.phone import DUMPSYS, TestPhone
from ofa.errors import InputError
from ofa.tables import LatencyTable
from profilers.android import main
from profilers.devices.phone import adb
from profilers.devices.phone import session as phone_session
from profilers.devices.phone.adb import Adb, ShellAnswer
from profilers.devices.phone.files import BASE
from profilers.devices.phone.modes import RESTORE, STAY_AWAKE
from profilers.devices.phone.session import RUNNING
from profilers.measuring import run as measuring
from profilers.measuring.plan import VisitPlan

# the first test may have to build the phone
pytestmark = [pytest.mark.phone, pytest.mark.timeout(900)]
ROOT = Path(__file__).resolve().parents[2]
SMALL = ["--space", "mbv3-w0.35", "--resolutions", "32", "--limit", "10", "--quick"]


def arguments(phone: TestPhone, out: Path, *more: str) -> list[str]:
    return ["--serial", phone.serial, *SMALL, "--out", str(out), *more]


def shell(phone: TestPhone, script: str) -> ShellAnswer:
    with Adb(phone.serial) as connection:
        connection.connect()
        return connection.run(script, BASE)


def assert_whole(out: Path, found: list[dict], blocks: int = 10) -> None:
    """Every block has its figure, and no visit was made twice."""
    assert len(LatencyTable.load(out).rows) == blocks
    visits = [(result["pass"], result["number"]) for result in found]
    assert len(visits) == len(set(visits))


SETTING = "settings get global stay_on_while_plugged_in"
AT_ONCE = " & ".join([f"({RESTORE})"] * 8)


def left_clean(phone: TestPhone) -> bool:
    """No agent runs, mode and screen are as they were, and nothing but agent and models is there."""
    told = (phone.state / "fixed_performance").read_text().split()
    there = shell(phone, 'cd "$1" && ls').text.split()
    return (
        shell(phone, RUNNING).code != 0
        and told[:1] + told[-1:] == ["true", "false"]
        and shell(phone, SETTING).text == "2"
        and (phone.state / "stayon").read_text().startswith("true")
        and all(re.fullmatch("(agent|models)-[0-9a-f]{16}", name) for name in there)
    )


@pytest.mark.parametrize("victim", ["adbd", "agent"])
def test_a_dropped_cable_or_a_killed_agent_costs_at_most_the_block_in_flight(
    phone: TestPhone, results, during, tmp_path: Path, victim: str
) -> None:
    out = tmp_path / "t.csv"
    with during(out, 5, lambda: os.kill(phone.pid_of(victim), signal.SIGKILL)):
        assert main(arguments(phone, out)) == 0
    assert_whole(out, results(out))
    assert "failed_blocks" not in LatencyTable.load(out).header
    assert left_clean(phone)


def test_an_agent_that_is_stuck_is_ended_and_its_block_measured_again(
    phone: TestPhone, results, during, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(phone_session, "SILENCE_S", 4.0)
    out, stuck = tmp_path / "t.csv", []

    def stop() -> None:
        stuck.append(phone.pid_of("agent"))
        os.kill(stuck[0], signal.SIGSTOP)

    with during(out, 5, stop):
        assert main(arguments(phone, out)) == 0
    assert_whole(out, results(out))
    assert not Path(f"/proc/{stuck[0]}").exists()


def test_a_phone_that_stays_away_is_not_waited_for_for_ever(
    phone: TestPhone, results, during, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "t.csv"

    def leave() -> None:
        # not before: what is there may need longer than that to answer
        monkeypatch.setattr(phone_session, "PATIENCE_S", 1.0)
        monkeypatch.setattr(adb, "CONNECT_S", 1.0)
        phone.__exit__(None, None, None)

    with (
        during(out, 5, leave),
        pytest.raises(InputError, match=r"did not come back within 1 s .* continue with --resume"),
    ):
        main(arguments(phone, out))
    assert len(results(out)) >= 5


# An agent that dies at one block, every time
DEADLY = """#!/system/bin/sh
manifest=$(cat "$1")
ids=${manifest##*'"visits": ['}; ids=${ids%%]*}
say() { echo "$1"; }
say '{"type": "hello", "protocol": 1, "runtime": "deadly 1.0", "device": {"cpu_model": "none"}}'
number=0
rest='"cpu_ns": null, "calls_per_sample": 1'
for id in ${ids//,/ }; do
  say "{\\"type\\": \\"visit\\", \\"visit\\": $number, \\"id\\": $id}"
  if [ "$id" = '"b00003"' ]; then echo "no more" >&2; kill -9 $$; fi
  say "{\\"type\\": \\"result\\", \\"visit\\": $number, \\"id\\": $id, \\"samples_ns\\": [1000, 1000], $rest}"
  number=$((number + 1))
done
say '{"type": "done"}'
"""


def test_a_block_that_kills_the_agent_twice_is_reported_and_skipped(
    phone: TestPhone, results, tmp_path: Path, capsys
) -> None:
    out, agent = tmp_path / "t.csv", tmp_path / "agent"
    agent.write_text(DEADLY)
    library = bundle.make("x86_64").folder / "libLiteRt.so"
    own = ["--agent-bin", str(agent), "--agent-lib", str(library)]
    assert main(arguments(phone, out, *own)) == 1
    said = capsys.readouterr().out
    assert said.count("failed:") == 1
    assert "was ended by signal 9; its last words: no more" in said
    assert_whole(out, results(out), blocks=9)
    assert LatencyTable.load(out).header["failed_blocks"] == "1"


def test_a_full_phone_is_said_to_be_full(boot, tmp_path: Path) -> None:
    phone = boot(mib=12)
    with pytest.raises(InputError, match=r"no space left on the phone: .* needs 25 MB, 13 MB are free"):
        main(arguments(phone, tmp_path / "t.csv"))
    assert shell(phone, 'ls "$1"').text == ""


def test_a_phone_that_fills_up_while_files_arrive_is_said_to_be_full(
    phone: TestPhone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push = Adb.push
    monkeypatch.setattr(adb, "PUSH_SILENCE_S", 2.0)

    def fill_then_push(self: Adb, data: Path | bytes, path: str) -> None:
        assert self.run('head -c 530000000 /dev/zero > "$1/../others"', BASE).code in (0, 1)
        push(self, data, path)

    monkeypatch.setattr(Adb, "push", fill_then_push)
    with pytest.raises(InputError, match="no space left on the phone"):
        main(arguments(phone, tmp_path / "t.csv"))


def test_a_push_that_was_cut_is_made_again(phone: TestPhone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    push, cut = Adb.push, []

    def cut_once(self: Adb, data: Path | bytes, path: str) -> None:
        push(self, data, path)
        if path.endswith(".tar") and not cut:
            cut.append(path)
            assert self.run('truncate -s 100000 "$1"', path).code == 0

    monkeypatch.setattr(Adb, "push", cut_once)
    assert main(arguments(phone, tmp_path / "t.csv", "--rounds", "1")) == 0
    assert len(cut) == 1


def test_a_cable_that_always_cuts_is_blamed(phone: TestPhone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    push = Adb.push

    def cut(self: Adb, data: Path | bytes, path: str) -> None:
        push(self, data if isinstance(data, bytes) else data.read_bytes()[:-1], path)

    monkeypatch.setattr(Adb, "push", cut)
    with pytest.raises(InputError, match="agent did not arrive whole on the phone, 3 times: try another cable"):
        main(arguments(phone, tmp_path / "t.csv"))


def test_a_cable_dropped_while_files_are_pushed(
    phone: TestPhone, results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push, dropped = Adb.push, []

    def drop(self: Adb, data: Path | bytes, path: str) -> None:
        if not dropped:
            dropped.append(path)
            phone.kill_adbd()
        push(self, data, path)

    monkeypatch.setattr(Adb, "push", drop)
    out = tmp_path / "t.csv"
    assert main(arguments(phone, out, "--rounds", "1")) == 0
    assert_whole(out, results(out))


def test_a_model_that_is_no_model_is_reported_and_the_rest_is_measured(
    phone: TestPhone, results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    write = measuring.write_plan

    def spoil(plan: VisitPlan, runtime: str, folder: Path, *rest: Any) -> dict[str, str | tuple[str, ...]]:
        files = write(plan, runtime, folder, *rest)
        name = files["b00004"]
        assert isinstance(name, str)
        (folder / name).write_bytes(b"TFL3" * 100)
        return files

    monkeypatch.setattr(measuring, "write_plan", spoil)
    out = tmp_path / "t.csv"
    assert main(arguments(phone, out)) == 1
    assert capsys.readouterr().out.count("failed:") == 1
    assert_whole(out, results(out), blocks=9)


def test_a_phone_that_gets_hot_stops_the_run_and_resumes_when_cool(
    phone: TestPhone, results, during, tmp_path: Path
) -> None:
    out = tmp_path / "t.csv"
    with (
        during(out, 5, lambda: phone.heat(95.0)),
        pytest.raises(InputError, match=r"the phone is too hot \(too hot: 95.0 C after waiting \d s, the limit is 80"),
    ):
        main(arguments(phone, out, "--cool-seconds", "1"))
    held = results(out)
    assert len(held) >= 5
    assert left_clean(phone)
    phone.heat(45.0)
    assert main(arguments(phone, out, "--cool-seconds", "1", "--resume")) == 0
    assert results(out)[: len(held)] == held
    assert_whole(out, results(out))


@pytest.mark.parametrize(
    ("service", "message"),
    [
        (DUMPSYS["thermalservice"].replace("Status: 0", "Status: 3"), "Android's thermal status is 3: clocks are cut"),
        (DUMPSYS["thermalservice"].replace("41.5", "88.5"), "the processor has 88.5 C, the limit is 80 C"),
    ],
)
def test_a_phone_that_is_hot_already_is_not_measured(
    phone: TestPhone, tmp_path: Path, service: str, message: str
) -> None:
    phone.dumpsys("thermalservice", service)
    with pytest.raises(InputError, match=message):
        main(arguments(phone, tmp_path / "t.csv", "--cool-seconds", "0"))


def test_a_temperature_that_cannot_be_read_is_said_and_not_passed(phone: TestPhone, tmp_path: Path) -> None:
    phone.heat(None)
    phone.dumpsys("thermalservice", "Can't find service: thermalservice")
    out = tmp_path / "t.csv"
    assert main(arguments(phone, out, "--rounds", "1")) == 0
    header = LatencyTable.load(out).header
    assert header["heat_gate"] == "off: adb may not read the processor's temperature while it measures"
    assert header["temperature_c"] == "not known"


def test_a_phone_without_the_fixed_performance_mode_is_measured_without(phone: TestPhone, tmp_path: Path) -> None:
    (phone.state / "fixed_performance").unlink()
    out = tmp_path / "t.csv"
    assert main(arguments(phone, out, "--rounds", "1")) == 0
    assert LatencyTable.load(out).header["fixed_performance_mode"] == "this phone has none"


def test_the_mode_is_left_alone_where_it_is_not_asked_for(phone: TestPhone, tmp_path: Path) -> None:
    out = tmp_path / "t.csv"
    assert main(arguments(phone, out, "--rounds", "1", "--no-fixed-performance")) == 0
    assert (phone.state / "fixed_performance").read_text() == ""
    assert LatencyTable.load(out).header["fixed_performance_mode"] == "not asked for"


def test_a_screen_is_kept_on_and_left_as_it_was(phone: TestPhone, tmp_path: Path) -> None:
    out = tmp_path / "t.csv"
    assert main(arguments(phone, out, "--rounds", "1")) == 0
    assert LatencyTable.load(out).header["screen"] == "on, kept on while the phone charges"
    assert shell(phone, SETTING).text == "2"
    shell(phone, "settings delete global stay_on_while_plugged_in; : > /test-phone/stayon")
    assert main(arguments(phone, out, "--rounds", "1", "--overwrite")) == 0
    assert shell(phone, SETTING).text == "null"
    # without the setting of before, only what was asked for keeps it on
    assert set((phone.state / "stayon").read_text().split()) == {"true"}
    assert LatencyTable.load(out).header["screen"] == "on, kept on while the phone charges"
    (phone.state / "stayon").write_text("")
    assert main(arguments(phone, out, "--rounds", "1", "--overwrite", "--no-stay-awake")) == 0
    assert (phone.state / "stayon").read_text() == ""
    (phone.state / "stayon").unlink()
    assert main(arguments(phone, out, "--rounds", "1", "--overwrite")) == 0
    assert LatencyTable.load(out).header["screen"] == "on"


def test_several_that_put_the_screen_back_at_once_lose_nothing(phone: TestPhone) -> None:
    # the agent's shell and the host do when a run is interrupted: what one has taken away, the other does not delete
    shell(phone, f'mkdir -p "$1"\nfor i in 1 2 3 4 5 6 7 8 9 10 11 12; do\n{STAY_AWAKE}\n{AT_ONCE} & wait\ndone')
    assert shell(phone, SETTING).text == "2"


def in_the_middle(phone: TestPhone, out: Path, results: Callable[[Path], list[dict]]) -> subprocess.Popen:
    """A run of its own process, that has measured something and will for a while."""
    process = subprocess.Popen(
        [sys.executable, "-m", "profilers.android", *arguments(phone, out, "--rounds", "50")],
        cwd=ROOT,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "HOME": str(phone.state),
            "XDG_CACHE_HOME": str(bundle.default_cache().parent),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # a shell's background jobs ignore SIGINT, and so would what they start
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while len(results(out)) < 5:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    return process


@pytest.mark.parametrize("ended_by", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_the_phone_as_it_was(
    phone: TestPhone, results, tmp_path: Path, ended_by: signal.Signals
) -> None:
    out = tmp_path / "t.csv"
    process = in_the_middle(phone, out, results)
    process.send_signal(ended_by)
    _, stderr = process.communicate()
    assert process.returncode == 130
    assert stderr.rstrip().endswith("--resume")
    assert len(stderr.splitlines()) == 1
    assert left_clean(phone)


def test_a_killed_host_leaves_no_agent_and_no_mode_behind(phone: TestPhone, results, tmp_path: Path) -> None:
    out = tmp_path / "t.csv"
    process = in_the_middle(phone, out, results)
    process.kill()
    process.communicate()
    while shell(phone, RUNNING).code == 0:
        time.sleep(0.1)
    while "false" not in (phone.state / "fixed_performance").read_text():
        time.sleep(0.1)
    assert (phone.state / "fixed_performance").read_text().split() == ["true", "true", "false"]


def test_two_runs_do_not_measure_on_one_phone(
    phone: TestPhone, results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = in_the_middle(phone, tmp_path / "first.csv", results)
    monkeypatch.setattr(phone_session, "FAREWELL_S", 0.5)
    agent = phone.pid_of("agent")
    try:
        with pytest.raises(InputError, match="another run is measuring on this phone: wait for it, or end it by"):
            main(arguments(phone, tmp_path / "second.csv"))
        assert process.poll() is None
        # nor does who is refused end the other's agent, or its mode
        assert phone.pid_of("agent") == agent
        assert (phone.state / "fixed_performance").read_text().split() == ["true", "true"]
    finally:
        process.kill()
        process.communicate()


def test_another_phone_does_not_go_on_with_this_ones_journal(boot, during, tmp_path: Path) -> None:
    first, second = boot(), boot()
    properties = (first.state / "properties").read_text()
    (first.state / "properties").write_text(properties + "ro.serialno=A1\n")
    (second.state / "properties").write_text(properties + "ro.serialno=B2\n")
    out = tmp_path / "t.csv"
    with during(out, 3, lambda: first.heat(95.0)), pytest.raises(InputError, match="too hot"):
        main(arguments(first, out, "--cool-seconds", "0"))
    with pytest.raises(InputError, match="was begun with phone ="):
        main(arguments(second, out, "--cool-seconds", "0", "--resume"))
