"""The one rule of all commands that keep a journal: an interrupted run's is not thrown away without `--overwrite`."""

import ast
from pathlib import Path

import pytest
import torch

from ofa.errors import InputError
from ofa.runs.journal import Journal, SharedJournal, finish
from ofa.runs.lock import Lock
from ofa.runs.processes import Processes

ROOT = Path(__file__).resolve().parents[3]
SETTINGS = {"space": "mbv3-w1.0"}
ALONE = Processes(0, 1, torch.device("cpu"))
RECORDS = [{"visit": i} for i in range(300)]
REFUSED = r"j is the journal of an interrupted run: continue it with --resume, or start again with --overwrite"


def interrupted(path: Path) -> Path:
    journal = Journal.create(path, SETTINGS)
    for record in RECORDS:
        journal.append(record)
    journal.close()
    return path


def begun(path: Path, *, resume: bool = False, overwrite: bool = False) -> list[dict]:
    journal = Journal.begin(path, SETTINGS, resume=resume, overwrite=overwrite)
    journal.close()
    return journal.records


def test_what_an_interrupted_run_has_made_is_kept_until_told(tmp_path: Path) -> None:
    path = interrupted(tmp_path / "j")
    before = path.read_bytes()
    with pytest.raises(InputError, match=REFUSED):
        begun(path)
    assert path.read_bytes() == before
    with Lock(path), pytest.raises(InputError, match="is being written by"):  # it is of no interrupted run
        begun(path)
    assert begun(path, resume=True) == RECORDS
    assert begun(path, overwrite=True) == []


def test_nothing_is_kept_that_holds_nothing_or_whose_result_is_there(tmp_path: Path) -> None:
    path = tmp_path / "j"
    for resume in (False, True, False):
        assert begun(path, resume=resume) == []  # not there, and then without a record
    path.write_bytes(b"")
    assert begun(path) == []
    finish(interrupted(path))
    finish(path)
    assert [record for record in begun(path, resume=True) if record != {"kind": "finished"}] == RECORDS
    assert len(Journal.read(path).records) == len(RECORDS) + 1
    assert begun(path) == []


def test_a_finished_run_that_was_gone_on_with_is_interrupted_again(tmp_path: Path) -> None:
    path = interrupted(tmp_path / "j")
    finish(path)
    journal = Journal.begin(path, SETTINGS, resume=True, overwrite=False)
    journal.append({"visit": 300})
    finish(path)  # of a run that does not hold it: nothing is written between two of its records
    journal.close()
    with pytest.raises(InputError, match=REFUSED):
        begun(path)
    finish(tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_so_it_is_where_processes_share_a_result(tmp_path: Path) -> None:
    first = SharedJournal(tmp_path / "r.csv", SETTINGS, ALONE, resume=False)
    first.append({"index": 0})
    first.close()
    words = "continue it with --resume, choose another --out, or start again with --overwrite"
    with pytest.raises(InputError, match=rf"r\.journal\.0\.jsonl is the journal of an interrupted run: {words}"):
        SharedJournal(tmp_path / "r.csv", SETTINGS, ALONE, resume=False)
    resumed = SharedJournal(tmp_path / "r.csv", SETTINGS, ALONE, resume=True)
    resumed.close()
    assert resumed.done == [{"index": 0}]
    anew = SharedJournal(tmp_path / "r.csv", SETTINGS, ALONE, resume=False, overwrite=True)
    anew.close()
    assert anew.done == []


def test_the_way_out_of_other_settings_is_not_refused(tmp_path: Path) -> None:
    path, other = interrupted(tmp_path / "j"), {"space": "mbv3-w1.2"}
    with pytest.raises(InputError, match=r"give the same settings, or start again with --overwrite$"):
        Journal.begin(path, other, resume=True, overwrite=False)
    journal = Journal.begin(path, other, resume=False, overwrite=True)
    journal.close()
    # begun again with neither option, a command refuses: no message may send users there
    for package in ("ofa", "profilers"):
        for module in (ROOT / package).rglob("*.py"):
            assert "without --resume" not in module.read_text(encoding="utf-8"), module


def opened_otherwise(code: str) -> list[str]:
    """How a module opens journals for writing but by the rule, or by the rule with its answer given beforehand."""
    calls = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Attribute)]
    found = [
        node.attr
        for node in calls
        if isinstance(node.value, ast.Name) and node.value.id == "Journal" and node.attr in ("create", "resume")
    ]
    keywords = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.keyword)]
    return found + ["overwrite=True" for k in keywords if k.arg == "overwrite" and ast.unparse(k.value) == "True"]


def test_every_command_follows_it() -> None:
    planted = "j = Journal.create(p, s)\nk = (Journal.resume if r else Journal.begin)(p, s, overwrite=True)"
    assert opened_otherwise(planted) == ["create", "resume", "overwrite=True"]
    found = {
        str(path.relative_to(ROOT)): how
        for package in ("ofa", "profilers", "device_agents", "latency_tables")
        for path in (ROOT / package).rglob("*.py")
        if "Journal" in (code := path.read_text(encoding="utf-8")) and (how := opened_otherwise(code))
    }
    # what a loop has made, until it is whole, is of no use: the device cools
    assert found.pop("ofa/runs/journal.py") == ["resume", "create"]
    assert found == {"profilers/looping/loop.py": ["overwrite=True"]}
