"""Step after step: what is done is not done again, what was begun is continued, whoever stops it and wherever."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from ofa.cli.console import make_console
from ofa.errors import InputError
from ofa.quickstart import run as quickstart
from ofa.quickstart.__main__ import main, spoken
from ofa.quickstart.config import QuickstartConfig
from ofa.quickstart.ending import ending, interval
from ofa.quickstart.photos import PhotoCounts
from ofa.quickstart.run import QuickstartResult, QuickstartWatcher, run_command, run_quickstart
from ofa.quickstart.steps import Places, chosen, steps_of

from .conftest import USUAL_SPEED

COUNTED = PhotoCounts(90, 30, False, 3, 0.004)

SUBNET = {"resolution": 72, "depths": [2] * 5}

EVALUATED = {"top1": 80.0, "images": 30, "per_class": {"a": {"images": 12}, "b": {"images": 11}, "c": {"images": 7}}}

RESULTS = [
    {"latency_ms": 0.5, "predicted_top1": 70.0, "subnet": SUBNET},
    {"latency_ms": 0.9, "predicted_top1": 90.0, "subnet": SUBNET},
    {"latency_ms": 0.8, "predicted_top1": 90.0, "subnet": SUBNET},
]


class Commands:
    """Stands for the commands: writes what each leaves. fails: the exit code of a module; lost: it writes nothing."""

    def __init__(self, places: Places, fails: dict[str, int] | None = None, lost: Sequence[str] = ()) -> None:
        self.ran: list[tuple[str, list[str]]] = []
        self._places, self._fails, self._lost = places, fails or {}, lost

    def __call__(self, words: Sequence[str]) -> int:
        executable, flag, module, *rest = words
        assert (executable, flag) == (sys.executable, "-m")
        self.ran.append((module, rest))
        if (code := self._fails.get(module, 0)) == 0 and module not in self._lost:
            step = next(s for s in steps_of(Path("x"), self._places, COUNTED) if s.module == module)
            step.makes.parent.mkdir(parents=True, exist_ok=True)
            content = {"results": [EVALUATED] if step.name == "evaluate" else RESULTS}
            step.makes.write_text(json.dumps(content))
        return code

    @property
    def modules(self) -> list[str]:
        return [module for module, _ in self.ran]


def config(photos: Path, tmp_path: Path, **more: object) -> QuickstartConfig:
    return QuickstartConfig(images=photos, out=tmp_path / "out", **more)  # type: ignore[arg-type]


def done(photos: Path, tmp_path: Path, commands: Commands, **more: object) -> QuickstartResult:
    return run_quickstart(config(photos, tmp_path, **more), run=commands)


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(tmp_path / "out")


ALL = [step.module for step in steps_of(Path("x"), Places(Path("y")), COUNTED)]

NOT_NEEDED = {"profilers.verify", "ofa.report"}


def test_every_step_runs_once_and_the_best_network_is_exported(photos: Path, tmp_path: Path, places: Places) -> None:
    commands = Commands(places)
    result = done(photos, tmp_path, commands)
    assert (result.code, result.step) == (0, None)
    assert commands.modules == ALL
    words = dict(commands.ran)
    assert not any("--resume" in given for given in words.values())
    for module in ("ofa.export", "ofa.evaluate"):
        given = words[module]
        assert given[given.index("--subnet") + 1] == str(places.verified)
        assert given[given.index("--index") + 1] == "2"  # as accurate as another, and faster
    again = Commands(places)
    assert done(photos, tmp_path, again, resume=True).code == 0
    assert again.modules == []


@pytest.mark.parametrize("module", ALL)
@pytest.mark.parametrize("way", ["code", "killed", "lost"])
def test_a_run_is_continued_at_the_step_where_it_ended(
    photos: Path, tmp_path: Path, places: Places, module: str, way: str
) -> None:
    if way == "killed":

        def killed(words: Sequence[str]) -> int:
            if words[2] == module:
                raise MemoryError  # as good as a power cut: nothing runs after it
            return before(words)

        before = Commands(places)
        with pytest.raises(MemoryError):
            run_quickstart(config(photos, tmp_path), run=killed)
    else:
        before = Commands(places, {module: 3} if way == "code" else {}, [module] if way == "lost" else [])
        result = done(photos, tmp_path, before)
        if module in NOT_NEEDED:
            assert (result.code, before.modules) == (0, ALL)
            assert result.state.failed == (module.rpartition(".")[2],)
            after = dict(before.ran)
            if module == "profilers.verify":
                assert str(places.result) in after["ofa.export"]
            return
        assert (result.code, result.step and result.step.module) == (3 if way == "code" else 1, module)
    with pytest.raises(InputError, match=r"already has a run: continue it with --resume, or choose another --out"):
        done(photos, tmp_path, Commands(places))
    commands = Commands(places)
    assert done(photos, tmp_path, commands, resume=True).code == 0
    assert commands.modules == ALL[ALL.index(module) :]
    resumed = [name for name, given in commands.ran if "--resume" in given]
    takes = module in ("ofa.train", "ofa.predictors.collect", "profilers.cpu", "profilers.verify", "ofa.evaluate")
    assert resumed == ([module] if takes else [])
    if way != "killed":
        first, second = (dict(found.ran)[module] for found in (before, commands))
        assert [word for word in second if word != "--resume"] == first


@pytest.mark.parametrize(("slow", "warned"), [(1, False), (30, True)])
def test_a_run_that_takes_too_long_warns_before_its_first_step(
    photos: Path, tmp_path: Path, places: Places, monkeypatch: pytest.MonkeyPatch, slow: float, warned: bool
) -> None:
    monkeypatch.setattr(quickstart, "measure_speed", lambda *_: USUAL_SPEED.slower(slow))
    heard: list[str] = []
    watcher = QuickstartWatcher(heard.append, lambda *_: heard.append("begun"))
    assert run_quickstart(config(photos, tmp_path), watcher, Commands(places)).code == 0
    before = "\n".join(heard[: heard.index("begun")])
    assert ("warning: this takes about" in before) == ("more than --minutes 15" in before) == warned


def test_what_lost_its_file_is_done_again_and_all_after_it(photos: Path, tmp_path: Path, places: Places) -> None:
    done(photos, tmp_path, Commands(places))
    places.table.unlink()
    commands = Commands(places)
    assert done(photos, tmp_path, commands, resume=True, minutes=60).code == 0
    assert commands.modules == ALL[ALL.index("profilers.cpu") :]


def test_another_run_is_not_continued(photos: Path, tmp_path: Path, places: Places) -> None:
    done(photos, tmp_path, Commands(places))
    with pytest.raises(InputError, match=r"was begun with from_scratch = false, but this run has true"):
        done(photos, tmp_path, Commands(places), resume=True, from_scratch=True)
    other = tmp_path / photos.name
    shutil.copytree(photos, other)
    assert done(other, tmp_path, Commands(places), resume=True).code == 0  # the same, elsewhere
    next(other.rglob("*.png")).unlink()
    with pytest.raises(InputError, match=r"was begun with images = my photos \(SHA-256"):
        done(other, tmp_path, Commands(places), resume=True)


@pytest.mark.parametrize("resume", [False, True])
def test_what_others_made_is_not_replaced(photos: Path, tmp_path: Path, places: Places, resume: bool) -> None:
    for path in places.made:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
        with pytest.raises(InputError, match=rf"{path.name} is there already, .* choose another --out"):
            done(photos, tmp_path, Commands(places), resume=resume)
        assert path.read_text() == "mine"
        path.unlink()
    assert {step.makes for step in steps_of(photos, places, COUNTED)} == {*places.made}


def test_a_folder_that_is_called_as_an_option_is_is_named_in_full(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "-photos").symlink_to(photos)
    commands = Commands(Places(tmp_path / "--out"))
    given = QuickstartConfig(images=Path("-photos"), out=Path("--out"))
    assert run_quickstart(given, run=commands).code == 0
    train = dict(commands.ran)["ofa.train"]
    assert train[train.index("--data") + 1] == str(tmp_path / "-photos")
    assert train[train.index("--out") + 1] == str(tmp_path / "--out" / "supernet")


@pytest.mark.parametrize(
    "content", ["{}", '{"results": []}', '{"results": [{"top1": 80, "images": 9, "per_class": {}}]}']
)
def test_an_ending_of_files_that_were_changed_names_them(
    photos: Path, tmp_path: Path, places: Places, content: str
) -> None:
    result = done(photos, tmp_path, Commands(places))
    places.evaluation.write_text(content)
    with pytest.raises(InputError, match=r"evaluation\.json is not as this version writes it"):
        ending(config(photos, tmp_path), result.state, places)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda _: "", "quickstart.json"),
        (lambda text: text[:200], "quickstart.json"),
        (lambda text: text.replace("ofa-quickstart/1", "x"), "is not a state file of ofa.quickstart"),
        (lambda text: text.replace('"size": 0', '"size": 77'), "is damaged"),
        (lambda text: text.replace('"train":', '"rm -r":'), "is damaged"),
        (lambda text: text.replace('"train_s"', '"x"'), "is damaged"),
        (lambda text: text.replace('"epochs"', '"x"'), "is damaged"),
        (lambda text: text.replace('"size": 0', '"size": -1e0'), "is damaged"),
        (lambda text: text.replace('"train_s": 0.', '"train_s": -0.'), "is damaged"),
        (lambda text: text.replace('"trained": 90', '"trained": "90"'), "is damaged"),
        (lambda text: text.replace('"learnt": true', '"learnt": 1'), "is damaged"),
        (lambda text: text.replace('"subnets": ', '"subnets": -'), "is damaged"),
    ],
)
def test_a_damaged_state_is_refused(
    photos: Path, tmp_path: Path, places: Places, change: Callable[[str], str], message: str
) -> None:
    done(photos, tmp_path, Commands(places))
    text = places.state.read_text()
    places.state.write_text(change(text))
    assert places.state.read_text() != text
    with pytest.raises(InputError, match=message):
        done(photos, tmp_path, Commands(places), resume=True)


def test_a_training_that_took_long_leaves_fewer_networks(photos: Path, tmp_path: Path, places: Places) -> None:
    """What it took is what the machine's speed is taken to be from then on."""
    clock = [0.0]

    def of(factor: float) -> int:
        shutil.rmtree(places.out, ignore_errors=True)
        expected: list[float] = []
        watcher = QuickstartWatcher(begin=lambda _n, _of, _step, _words, seconds, _left: expected.append(seconds))
        commands = Commands(places)

        def run(words: Sequence[str]) -> int:
            clock[0] += factor * expected[-1]
            return commands(words)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(time, "monotonic", lambda: clock[0])
            return run_quickstart(config(photos, tmp_path, minutes=6), watcher, run).state.plan.subnets

    assert of(0.8) >= of(1.0) > of(3.5)


# ---- the command


def test_commands_are_shown_as_one_would_type_them(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main([str(photos), "--out", str(out), "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert not out.exists()
    typed = [line for line in said.splitlines() if line.startswith("$ python -m ")]
    assert len(typed) == len(ALL)
    assert f"--data '{photos}'" in typed[0]
    assert "[1/" in said
    assert "left in all" in said


def test_a_step_with_remarks_is_no_failure(
    photos: Path, places: Places, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """verify ends with 1 where the machine is not as it was, and has measured all the same."""
    stands_for, codes = Commands(places), {"profilers.verify": 1}

    def run(words: Sequence[str], threads: int) -> int:
        assert threads == USUAL_SPEED.threads
        return stands_for(words) or codes.get(words[2], 0)

    monkeypatch.setattr(quickstart, "run_command", run)
    assert main([str(photos), "--out", str(places.out)]) == 0
    assert "done, with the remarks above (exit code 1), and the next steps use its result: time three" in (
        capsys.readouterr().out
    )
    assert str(places.verified) in dict(stands_for.ran)["ofa.export"]
    assert main([str(photos), "--out", str(places.out), "--resume"]) == 0
    assert len(stands_for.ran) == len(ALL)


def test_the_end_says_what_there_is_and_what_it_is_worth(photos: Path, tmp_path: Path, places: Places) -> None:
    result = done(photos, tmp_path, Commands(places))
    text = "\n".join(ending(config(photos, tmp_path), result.state, places))
    assert f"{places.network}: the network, for images of 72 px; 0.8 ms on this CPU, measured" in text
    assert "right on 80.0 % of 30 photographs that were not trained on (95 % interval: 63 to 90 %)" in text
    assert "the most frequent class every time is right on 40 %" in text
    assert "This is a toy: 90 photographs, " in text
    assert f"python -m ofa.predict PHOTO --model {places.network}" in text
    places.verified.unlink()
    assert "as the sum of its blocks, not measured" in ending(config(photos, tmp_path), result.state, places)[0]


@pytest.mark.parametrize(("top1", "guesses"), [(57.0, True), (60.0, False)])
def test_what_may_be_guessing_is_called_that(
    photos: Path, tmp_path: Path, places: Places, top1: float, guesses: bool
) -> None:
    result = done(photos, tmp_path, Commands(places))
    places.evaluation.write_text(json.dumps({"results": [{**EVALUATED, "top1": top1}]}))
    text = "\n".join(ending(config(photos, tmp_path), result.state, places))
    assert interval(top1, 30)[0] == pytest.approx(40, abs=3)  # as often as the most frequent class
    assert ("the network may only be guessing" in text) == guesses
    assert ("it will be somewhat worse" in text) != guesses


def test_intervals_are_wilsons() -> None:
    assert interval(50, 100) == pytest.approx((40.38, 59.62), abs=0.01)  # Wilson 1927, as any table has it
    assert interval(0, 10) == pytest.approx((0, 27.75), abs=0.01)
    assert interval(100, 10) == pytest.approx((72.25, 100), abs=0.01)


def test_no_result_is_no_choice(tmp_path: Path) -> None:
    assert chosen(tmp_path / "none.json") == 0
    (tmp_path / "odd.json").write_text('{"results": [{"a": 1}]}')
    assert chosen(tmp_path / "odd.json") == 0
    assert [spoken(s) for s in (0.2, 89, 90, 600)] == ["1 s", "89 s", "2 min", "10 min"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_command_too(tmp_path: Path, number: signal.Signals) -> None:
    began = tmp_path / "began"
    code = f"import pathlib, time; pathlib.Path({str(began)!r}).touch(); time.sleep(100)"

    def send() -> None:
        while not began.exists():
            time.sleep(0.02)
        os.kill(os.getpid(), number)

    sender = threading.Thread(target=send)
    sender.start()
    assert run_command([sys.executable, "-c", code]) == 130
    sender.join()


def test_who_runs_several_commands_says_what_comes_next(capfd: pytest.CaptureFixture[str]) -> None:
    code = "from ofa.cli.console import make_console as c; c().print('one'); c().print('next: two'); c().print()"
    assert run_command([sys.executable, "-c", code]) == 0
    assert capfd.readouterr().out == "one\n\n"
    make_console().print("next: two")
    assert capfd.readouterr().out == "next: two\n"


def test_exit_codes_are_a_shells() -> None:
    assert run_command([sys.executable, "-c", "raise SystemExit(7)"]) == 7
    assert run_command([sys.executable, "-c", "import os; exit(int(os.environ['OMP_NUM_THREADS']))"], threads=3) == 3
    killed = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    assert run_command([sys.executable, "-c", killed]) == 137


# ---- photographs from which nothing can be learnt


def test_results_do_not_lie_among_the_photographs(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").symlink_to(photos)
    monkeypatch.chdir(photos)
    for images, out in ((photos, photos / "out"), (Path(), Path("out/quickstart")), (tmp_path / "link", photos)):
        with pytest.raises(InputError, match=r"lies in .*, among the photographs: name a folder elsewhere"):
            run_quickstart(QuickstartConfig(images=images, out=out))
    assert sorted(path.name for path in photos.iterdir()) == ["class0", "class1", "class2"]


def test_what_later_steps_need_is_asked_for_first(
    photos: Path, tmp_path: Path, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ofa.optional_packages.find_spec", lambda _: None)
    monkeypatch.delitem(sys.modules, "onnxruntime", raising=False)
    with pytest.raises(InputError, match=r"ofa\.quickstart needs onnx"):
        done(photos, tmp_path, Commands(places))
