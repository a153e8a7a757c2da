"""A run from its file to its report and exit code; resumed; and what `status` says of it and of the lab."""

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from ofa.errors import InputError
from ofa.runs.journal import Journal
from profilers.lab import __main__ as lab
from profilers.lab import cluster
from profilers.lab.config import AnnounceConfig, RunLabConfig
from profilers.lab.devices import Device, Host, package
from profilers.lab.host import attached
from profilers.lab.host.jobs import Doing
from profilers.lab.plan import Job, read_entries
from profilers.lab.run import runs
from profilers.lab.run.together import merged_file
from profilers.lab.status import lab_lines, run_lines, summary
from profilers.lab.words import WORKS
from profilers.profiling.console import Progressed
from tests.helpers.labs import PROFILER, LocalHosts, job, phone, run_of

LAB = (
    '[[job]]\nname = "tables"\ncommand = "profile"\nargs = ["--visits", "5", "--code", "{code}"]\non = { id = "*1" }\n'
)


@pytest.fixture(autouse=True)
def _made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Profiles are made by a made-up profiler, whose words are checked by none."""
    made_up = replace(WORKS["profile"], modules={"phone": PROFILER}, address={})
    monkeypatch.setitem(WORKS, "profile", made_up)  # type: ignore[arg-type]
    monkeypatch.setattr(runs, "check_words", lambda *_: None)


@pytest.fixture
def hosts(hosts: LocalHosts) -> LocalHosts:
    """Phones of two models: of one, what the made-up profiler leaves would be compared."""
    hosts.jobs["b"].attach([phone(f"b{n}", model="Pixel 9") for n in (1, 2)])
    return hosts


def config(folder: Path, text: str = LAB, code: int = 0, **more: bool) -> RunLabConfig:
    (folder / "lab.toml").write_text(text.replace("{code}", str(code)))
    return RunLabConfig(config=folder / "lab.toml", out=folder / "out", **more)  # type: ignore[arg-type]


def run(asked: RunLabConfig, hosts: LocalHosts) -> tuple[int, list[str]]:
    said: list[str] = []
    return runs.run_lab(asked, hosts, said.append, len), said


def test_a_run_is_reported_resumed_and_not_replaced_unasked(hosts: LocalHosts, tmp_path: Path) -> None:
    code, said = run(config(tmp_path), hosts)
    assert code == 0
    assert said[0] == "jobs: 2, on 2 of the lab's devices"
    report = (tmp_path / "out" / "report.md").read_text()
    assert "| tables/phone-a1 | Pixel 8 | a | with 0 |" in report
    lines, status = run_lines(tmp_path / "out")
    assert status == 0
    assert [line.split(" after ")[0] for line in lines] == [
        f"tables/phone-{host}1 (Pixel {model}): ended with 0 on {host}" for host, model in ("a8", "b9")
    ]
    assert lines[0].endswith("out/tables/phone-a1/phone-a1.csv")
    with pytest.raises(InputError, match="holds an earlier run: go on with it by --resume, or --overwrite it"):
        run(config(tmp_path), hosts)
    records = len(Journal.read(tmp_path / "out" / runs.JOURNAL).records)
    assert run(config(tmp_path, resume=True), hosts)[0] == 0
    assert len(Journal.read(tmp_path / "out" / runs.JOURNAL).records) == records  # nothing ran again
    with pytest.raises(InputError, match="was begun with"):
        run(config(tmp_path, LAB.replace('"5"', '"6"'), resume=True), hosts)


def test_devices_of_one_model_that_cannot_be_compared_are_to_be_seen(hosts: LocalHosts, tmp_path: Path) -> None:
    hosts.jobs["b"].attach([phone("b1")])
    code, said = run(config(tmp_path), hosts)
    # what the made-up profiler leaves is no table, which is said and harms nothing
    assert any(line.startswith("Pixel 8: phone-a1, phone-b1 are not compared: ") for line in said)
    assert code == 1
    assert [task["state"] for task in Journal.read(tmp_path / "out" / runs.JOURNAL).records[1:]] == ["done"] * 2


def test_exit_codes_and_missing_devices(hosts: LocalHosts, tmp_path: Path) -> None:
    text = LAB + '[[job]]\nname = "more"\ncommand = "profile"\non = { model = "Nokia*" }\n'
    assert run(config(tmp_path, code=1), hosts)[0] == 1
    code, said = run(config(tmp_path, text, 1, overwrite=True), hosts)
    lacks = "more: devices that fit model 'Nokia*': 0, expected at least 1"
    assert code == 2
    assert lacks in said
    lines, status = run_lines(tmp_path / "out")
    assert (lines[-1], status) == (lacks, 2)
    code, said = run(config(tmp_path, LAB, 3, overwrite=True), hosts)
    assert code == 2
    assert run_lines(tmp_path / "out")[0][0].startswith("tables/phone-a1 (Pixel 8): failed: on a: ")
    # a failed job is what a resumed run tries again
    assert run(config(tmp_path, LAB, 3, resume=True), hosts)[0] == 2


def test_what_would_run_is_shown_and_nothing_is_written(hosts: LocalHosts, tmp_path: Path) -> None:
    code, said = run(config(tmp_path, dry_run=True), hosts)
    assert (code, len(said)) == (0, 2)
    assert said[0].startswith(f"tables/phone-a1 on a, Pixel 8: python -m {PROFILER} --visits 5 ")
    assert not (tmp_path / "out").exists()


def test_a_table_that_was_not_made_fails_what_needs_it(hosts: LocalHosts, tmp_path: Path) -> None:
    each = job("phone-a1", code=1)
    run = run_of(hosts, tmp_path / "out", [each, replace(each, entry="validate")])
    run.tasks[1].entry = replace(run.tasks[1].entry, name="validate", after="tables")
    run.tasks[1].returned.folder = tmp_path / "out" / "validate" / "phone-a1"

    def files(task: object) -> dict[str, bytes]:
        if task is run.tasks[1]:
            raise InputError("phone-a1.csv: no such file")
        return {}

    run.files = files
    run.to_the_end()
    run.journal.close()
    assert [(task.state, task.why) for task in run.tasks] == [("done", ""), ("failed", "phone-a1.csv: no such file")]
    assert summary(run.tasks) == "2 jobs: 1 done, 1 failed"


def test_the_lab_in_words() -> None:
    locked = phone("2", trouble="it is\x1b locked")
    host = Host("desk", package(), {"onnxruntime": "1.32"}, (phone("1"), locked, Device("cpu-1", "cpu", "", "M", "M")))
    doing = [Doing("phone-1", "tables/phone-1", "me@here", time.time() - 65, Progressed(3, 10, 400))]
    lines = lab_lines({"desk": host, "other": replace(host, name="other", package="x", devices=())}, {"desk": doing})
    assert lines[0] == f"desk: {package()}; onnxruntime 1.32; "
    assert lines[1].split(maxsplit=1)[1].split(") ")[0].strip() == "Pixel 8 (Tensor G3"
    assert "tables/phone-1 of me@here, for 65 s, 3 of 10 visits, about 7 min left" in lines[1]
    assert r"cannot be used: it is\x1b locked" in lines[2]
    assert lines[3].endswith("free")
    assert (
        lines[-2] == f"not used: host other is left out: it has x, here is {package()}: install the same on all hosts"
    )
    assert lab_lines({}, {}) == ["no host is announced: python -m profilers.lab announce, on each"]


def test_no_run_and_a_damaged_one_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no run of the lab"):
        run_lines(tmp_path)
    (tmp_path / "lab.journal.jsonl").write_text("nonsense\n")
    with pytest.raises(InputError, match="not a journal line"):
        run_lines(tmp_path)


JOB = Job("a", "b", "phone-1", ("profilers.cpu",), "M").to_dict()
PLAN = {"kind": "plan", "run": "r", "jobs": [JOB], "missing": {}, "skipped": []}
ENDED = {"kind": "ended", "job": "a/b", "state": "failed", "host": "h", "why": "w", "seconds": 1.0, "code": None}


@pytest.mark.parametrize(
    "records",
    [
        [{"kind": "plan"}],
        *([{**PLAN, "jobs": jobs}] for jobs in (3, [3], [{**JOB, "words": 3}], [{**JOB, "subject": "../../x"}])),
        *(
            [{**PLAN, key: value}]
            for key, value in (("missing", []), ("missing", {"a": 3}), ("skipped", 3), ("run", 3))
        ),
        [PLAN, {"kind": "ended", "job": "a/b"}],
        *(
            [PLAN, {**ENDED, key: value}]
            for key, value in (("job", ["x"]), ("seconds", "1"), ("code", "0"), ("why", 3))
        ),
    ],
)
def test_a_journal_that_lacks_what_is_needed_is_named(records: list[dict], tmp_path: Path, hosts: LocalHosts) -> None:
    asked = config(tmp_path, resume=True)
    asked.out.mkdir()
    journal = Journal.create(asked.out / "lab.journal.jsonl", runs._settings(asked.config, read_entries(asked.config)))
    for record in records:
        journal.append(record)
    journal.close()
    with pytest.raises(InputError, match=r"lab\.journal\.jsonl is damaged: choose another --out, or begin again with"):
        run_lines(asked.out)
    for _ in range(2):  # and its lock is given back
        with pytest.raises(InputError, match="is damaged"):
            run(asked, hosts)


@pytest.mark.parametrize(
    "jobs",
    [
        [{**JOB, "entry": "no job of lab.toml"}],
        [{**JOB, "entry": "tables"}] * 2,
        *([{**JOB, "entry": "again", "words": words}] for words in ([], ["profilers.regenerate", "--only"])),
    ],
)
def test_a_plan_that_its_file_cannot_have_made_is_named(jobs: list[dict], tmp_path: Path, hosts: LocalHosts) -> None:
    (tmp_path / "tables.toml").touch()
    again = '[[job]]\nname = "again"\ncommand = "regenerate"\ntables = "tables.toml"\n'
    asked = config(tmp_path, LAB + again, resume=True)
    asked.out.mkdir()
    journal = Journal.create(asked.out / "lab.journal.jsonl", runs._settings(asked.config, read_entries(asked.config)))
    journal.append({**PLAN, "jobs": jobs})
    journal.close()
    with pytest.raises(InputError, match="is damaged"):
        run(asked, hosts)


def test_a_journal_that_is_whole_is_shown(tmp_path: Path) -> None:
    journal = Journal.create(tmp_path / "lab.journal.jsonl", {})
    for record in (PLAN, ENDED):
        journal.append(record)
    journal.close()
    assert run_lines(tmp_path) == (["a/b (M): failed: w"], 2)


def test_merged_tables_of_devices_that_are_called_alike_have_files_of_their_own(tmp_path: Path) -> None:
    taken: set[Path] = set()
    of = [("cpu", "Pi 4"), ("board", "Pi 4"), ("board", "pi-4"), ("phone", "***")]
    names = [merged_file(tmp_path, kind, model, taken).name for kind, model in of]
    assert names == ["pi-4.csv", "pi-4-board.csv", "pi-4-board-2.csv", "devices.csv"]


@pytest.mark.parametrize("host", ["a..b", "x" * 80 + ".b"])
def test_what_is_no_hosts_name_is_no_fault_of_ours(host: str) -> None:
    with pytest.raises(InputError, match=r"no Ray answers at --address .*close its ports first"):
        cluster._check_there(f"{host}:6379")
    assert attached._reachable(f"{host}:5555").startswith(f"it does not answer at {host}:5555")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"name": " "}, "--name is ' ', expected 1 to 100 characters"),
        ({"name": "a\x1b"}, r"--name is 'a\x1b'"),
        ({"board": ("pi", "pi")}, "--board names 'pi' twice"),
        ({"phone": ("1:2", "1:2")}, "--phone names '1:2' twice"),
        (
            {"address": "ray://head:10001"},
            "not here. Start Ray on this host (ray start --address HEAD:6379)",
        ),
        ({"address": ""}, "--address is '', expected HOST:6379, ray://HOST:10001 or auto"),
        ({"name": ""}, "--name is '', expected 1 to 100 characters that can be printed"),
        ({"timed_cpus": 0}, "--timed-cpus is 0, expected at least 1"),
        ({"only": ("toaster",)}, "--only is 'toaster', expected one of cpu, gpu, phone, board, host"),
    ],
)
def test_wrong_announcements_are_named(more: dict, words: str) -> None:
    with pytest.raises(InputError) as raised:
        AnnounceConfig(**more)
    assert words in str(raised.value)


def test_a_token_that_others_can_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    token = tmp_path / "auth_token"
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(token))
    assert (cluster.token_for_all(), cluster.has_token()) == (None, False)
    token.touch()
    assert cluster.has_token()
    for mode, found in ((0o644, token), (0o640, token), (0o600, None)):
        token.chmod(mode)
        assert cluster.token_for_all() == found


def test_a_token_is_used_and_a_ray_that_goes_away_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(Exception):
        pass

    here = SimpleNamespace(gcs_address="127.0.0.1:9", get_node_id=lambda: "n")
    ray = SimpleNamespace(
        init=lambda **_: 0, shutdown=lambda: 0, exceptions=SimpleNamespace(RayError=Gone), nodes=list,
        get_runtime_context=lambda: here,
    )  # fmt: skip
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "auth_token"))
    monkeypatch.setenv("RAY_AUTH_MODE", "x")  # what is set here is put back
    for reason, raised in ((Gone("x"), InputError), (ConnectionError("x"), InputError), (BrokenPipeError(), OSError)):
        monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
        with pytest.raises(raised) as found, cluster.connected("auto"):
            assert cluster.is_guarded() == (tmp_path / "auth_token").exists()
            (tmp_path / "auth_token").touch()
            raise reason
    assert isinstance(found.value, BrokenPipeError)
    words = r"the lab's Ray at --address auto went away \(x\); when it is there again, go on with: Y --resume$"
    with pytest.raises(InputError, match=words), cluster.connected("auto", "go on with: Y --resume"):
        raise Gone("x")


def test_without_ray_one_line_says_how_to_install_it_and_the_file_is_read_first(tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['ray'] = None; from profilers.lab.__main__ import main; from ofa.cli.run import run"
    )
    path = tmp_path / "lab.toml"
    said = {}
    for name, text in (("right", LAB.replace("{code}", "0")), ("wrong", "[[job]]")):
        path.write_text(text)
        words = ["run", "--config", str(path), "--out", str(tmp_path / "out")]
        done = subprocess.run(
            [sys.executable, "-c", f"{program}; run(lambda: main({words!r}), failed=2)"], capture_output=True, text=True
        )
        said[name] = (done.returncode, done.stderr)
    assert said["right"] == (2, "error: a lab needs Ray: pip install 'ofa-latency[lab]'\n")
    assert said["wrong"] == (2, f"error: {path}: job 1: command is missing, expected a text\n")


def test_status_of_a_run_needs_no_ray(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Journal.create(tmp_path / "lab.journal.jsonl", {}).close()
    assert lab.main(["status", "--run", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{tmp_path}: nothing was begun\n"


def test_files_that_are_no_runs_are_not_taken_away_unasked(tmp_path: Path, hosts: LocalHosts) -> None:
    own = tmp_path / "out" / "tables" / "phone-a1" / "mine.csv"
    own.parent.mkdir(parents=True)
    own.write_text("mine")
    for more in ({}, {"resume": True}):
        with pytest.raises(InputError, match=r"phone-a1 holds files of no run of the lab: choose another --out"):
            run(config(tmp_path, **more), hosts)
    assert own.read_text() == "mine"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["tables"]
    assert run(config(tmp_path, overwrite=True), hosts)[0] == 0
    assert not own.exists()
