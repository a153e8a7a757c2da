"""The journal: nothing but the record in flight is ever lost, and a run of other settings is not gone on with."""

import ast
import errno
import json
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ofa.errors import InputError
from ofa.runs.journal import Journal, SharedJournal
from ofa.runs.processes import Processes

ROOT = Path(__file__).resolve().parents[3]
SETTINGS = {"space": "mbv3-w1.0", "resolutions": [160]}
ITEMS = [{"index": i, "top1": i / 7} for i in range(300)]
records = st.lists(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5)), max_size=6)


@given(written=records, data=st.data())
def test_a_journal_cut_at_any_byte_loses_at_most_the_cut_record(
    tmp_path_factory: pytest.TempPathFactory, written: list[dict], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("journal") / "j.jsonl"
    journal = Journal.create(path, SETTINGS)
    for record in written:
        journal.append(record)
    journal.close()
    whole = path.read_bytes()
    cut = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:cut])
    complete = max(0, whole[:cut].count(b"\n") - 1)
    resumed = Journal.resume(path, SETTINGS)
    assert resumed.records == written[:complete]
    resumed.append({"after": 1})
    resumed.close()
    again = Journal.resume(path, SETTINGS)
    assert again.records == [*written[:complete], {"after": 1}]
    again.close()


def test_other_settings_are_refused_by_name(tmp_path: Path) -> None:
    Journal.create(tmp_path / "j", SETTINGS).close()
    with pytest.raises(InputError, match=r"j was begun with resolutions\[0\] = 160, but this one has 192: give the"):
        Journal.resume(tmp_path / "j", {**SETTINGS, "resolutions": [192]})
    with pytest.raises(InputError, match="begun without threads, but this one has threads = 2: give the same"):
        Journal.resume(tmp_path / "j", {**SETTINGS, "threads": 2})
    file = {"file": "a.csv", "sha256": "0" * 64}
    Journal.create(tmp_path / "k", {"table": file}).close()
    Journal.resume(tmp_path / "k", {"table": {**file, "file": "renamed.csv"}}).close()
    with pytest.raises(InputError, match=r"begun with table = a\.csv \(SHA-256 0000"):
        Journal.resume(tmp_path / "k", {"table": {**file, "sha256": "1" * 64}})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('hello\n{"a": 1}\n', "j:1: not a journal line"),
        ('{"kind": "settings", "journal_version": 1}\n{"a": 1}\n', "j: not a journal of version 3"),
        ('{"kind": "settings", "journal_version": 3, "settings": 7}\n', "j: not a journal of version 3"),
        ('{"a": 1}\n', "j: not a journal of version 3"),
    ],
)
def test_what_is_no_journal_is_refused_and_left_as_it_is(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "j").write_text(content)
    for opened in (lambda: Journal.resume(tmp_path / "j", {}), lambda: Journal.read(tmp_path / "j")):
        with pytest.raises(InputError, match=message):
            opened()
    assert (tmp_path / "j").read_text() == content


@pytest.mark.parametrize("damaged", ["hello", "[1]", '{"a": NaN}', "[" * 5000, "9" * 5000, '{"a": 1, "a": 2}', "\0\0"])
def test_a_damaged_line_costs_its_own_record(tmp_path: Path, damaged: str) -> None:
    journal = Journal.create(tmp_path / "j", SETTINGS)
    for item in ITEMS:
        journal.append(item)
    journal.close()
    lines = (tmp_path / "j").read_text().splitlines()
    (tmp_path / "j").write_text("\n".join([lines[0], damaged, *lines[2:], ""]))
    for opened in (Journal.read(tmp_path / "j"), Journal.resume(tmp_path / "j", SETTINGS)):
        assert opened.records == ITEMS[1:]


def test_reading_changes_nothing(tmp_path: Path) -> None:
    journal = Journal.create(tmp_path / "j", SETTINGS)
    journal.append(ITEMS[0])
    journal.close()
    with (tmp_path / "j").open("a") as file:
        file.write('{"cut')
    before = (tmp_path / "j").read_bytes()
    read = Journal.read(tmp_path / "j")
    assert (read.settings, read.records, (tmp_path / "j").read_bytes()) == (SETTINGS, ITEMS[:1], before)


# first lines of earlier versions: the profilers', and the library's, whose cut lines stayed where they were
OLD_PROFILE = '{"kind": "settings", "journal_version": 2, "space": "mbv3-w1.0", "resolutions": [160]}\n'
OLD_LIBRARY = json.dumps({"settings": SETTINGS}) + "\n" + '{"index": 7, "to\n'


@pytest.mark.parametrize("first", [OLD_PROFILE, OLD_LIBRARY])
def test_an_older_journal_is_gone_on_with(tmp_path: Path, first: str) -> None:
    path = tmp_path / "j"
    path.write_text(first + json.dumps(ITEMS[0]) + '\n{"cut')
    journal = Journal.resume(path, SETTINGS)
    assert (journal.settings, journal.records) == (SETTINGS, ITEMS[:1])
    journal.append(ITEMS[1])
    journal.close()
    assert Journal.read(path).records == ITEMS[:2]
    assert path.read_text().startswith(first)
    with pytest.raises(InputError, match=r"with space = \"mbv3-w1.0\", but this one has \"mbv3-w1.2\""):
        Journal.resume(path, {**SETTINGS, "space": "mbv3-w1.2"})


class Crowd:
    """So many processes, as threads."""

    def __init__(self, count: int) -> None:
        self.count, self.barrier = count, threading.Barrier(count)

    def together(self, act: Callable[[Any], object]) -> None:
        threads = [threading.Thread(target=self._one, args=(act, rank)) for rank in range(self.count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _one(self, act: Callable[[Any], object], rank: int) -> None:
        procs = Processes(rank, self.count, torch.device("cpu"))
        object.__setattr__(procs, "wait", self.barrier.wait)
        act(procs)


def session(result: Path, count: int, settings: Mapping[str, Any], items: list[dict], end: str) -> list[list[dict]]:
    """A session of so many processes that share the items: what each found done."""
    found: list[list[dict]] = [[] for _ in range(count)]

    def act(procs: Processes) -> None:
        journal = SharedJournal(result, settings, procs, resume=True)
        found[procs.rank] = journal.done
        for item in items[procs.rank :: count]:
            journal.append(item)
        journal.close() if end == "killed" else journal.remove()

    Crowd(count).together(act)
    return found


def test_processes_take_up_what_others_left_whatever_their_number(tmp_path: Path) -> None:
    result = tmp_path / "r.json"
    assert session(result, 3, SETTINGS, ITEMS[:200], "killed") == [[], [], []]
    with (tmp_path / "r.journal.1.jsonl").open("a") as file:
        file.write('{"index": 5, "to')
    with pytest.raises(InputError, match=r"r\.journal\.0\.jsonl is the journal of an interrupted run: continue it"):
        SharedJournal(result, SETTINGS, Processes(0, 1, torch.device("cpu")), resume=False)
    with pytest.raises(InputError, match=r"resolutions\[0\] = 160, but this one has 192"):
        SharedJournal(result, {**SETTINGS, "resolutions": [192]}, Processes(0, 1, torch.device("cpu")), resume=True)

    def in_order(done: list[dict]) -> list[dict]:
        return sorted(done, key=lambda item: item["index"])

    assert [in_order(done) for done in session(result, 2, SETTINGS, ITEMS[200:], "killed")] == [ITEMS[:200]] * 2
    (done,) = session(result, 1, SETTINGS, [], "finished")
    assert in_order(done) == ITEMS
    assert list(tmp_path.iterdir()) == []


def test_a_journal_without_records_hinders_nobody(tmp_path: Path) -> None:
    session(tmp_path / "r.json", 2, SETTINGS, [], "killed")
    assert len(list(tmp_path.iterdir())) == 2
    alone = Processes(0, 1, torch.device("cpu"))
    SharedJournal(tmp_path / "r.json", {"other": 1}, alone, resume=False).close()
    assert [path.name for path in tmp_path.iterdir()] == ["r.journal.0.jsonl"]
    assert Journal.read(tmp_path / "r.journal.0.jsonl").settings == {"other": 1}


def classes_named(word: str, code: str) -> list[str]:
    return [
        node.name for node in ast.walk(ast.parse(code)) if isinstance(node, ast.ClassDef) and node.name.endswith(word)
    ]


def test_there_is_one_journal() -> None:
    assert classes_named("Journal", "class OtherJournal:\n    pass") == ["OtherJournal"]
    found = {
        str(path.relative_to(ROOT)): names
        for package in ("ofa", "profilers", "device_agents", "latency_tables")
        for path in (ROOT / package).rglob("*.py")
        if (names := classes_named("Journal", path.read_text(encoding="utf-8")))
    }
    assert found == {"ofa/runs/journal.py": ["Journal", "SharedJournal"]}


def test_a_damaged_line_costs_its_own_record_whatever_it_holds(tmp_path: Path) -> None:
    journal = Journal.create(tmp_path / "j", {})
    for i in range(300):
        journal.append({"i": i, "word": "a fine one"})
    journal.close()
    content = (tmp_path / "j").read_bytes()
    for damage in (b"\r", b"\0", b"\xff", b'"', b"\x0b", b"\x1c", b"\xc2\x85"):
        (tmp_path / "j").write_bytes(content.replace(b'"i": 7,', b'"i": 7' + damage, 1))
        assert [record["i"] for record in Journal.read(tmp_path / "j").records] == [i for i in range(300) if i != 7]
        journal = Journal.resume(tmp_path / "j", {})
        journal.append({"i": 300})
        journal.close()
        assert len(Journal.read(tmp_path / "j").records) == 300


def test_a_full_disk_names_the_journal_and_what_was_kept_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal.create(tmp_path / "j", {})
    journal.append({"i": 0})
    with monkeypatch.context() as patched:

        def full(_: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        patched.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left") as raised:
            journal.append({"i": 1})
        assert raised.value.filename == str(tmp_path / "j")
        journal.close()
    (tmp_path / "j").write_bytes((tmp_path / "j").read_bytes()[:-4])  # half of the line was written
    assert Journal.resume(tmp_path / "j", {}).records == [{"i": 0}]
