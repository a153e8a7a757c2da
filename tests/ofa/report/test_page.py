"""The page and its files: names are text, nothing is asked for, nothing else replaced, what is no run is refused."""

from __future__ import annotations

import json
import os
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from ofa.errors import InputError
from ofa.report import page as pages
from ofa.report.__main__ import COMMAND, main
from ofa.report.config import ReportConfig
from ofa.report.inputs.searched import FoundNetwork
from ofa.report.run import page_of
from ofa.report.sections.section import Section
from ofa.tables import find_table
from tests.helpers.programs import ended
from tests.helpers.report_runs import NASTY, evaluated, trained
from tests.ofa.report.shown import content, shown

# ---- files


def test_what_is_no_run_is_refused_by_name(tmp_path: Path, frontier: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello\n")
    (tmp_path / "other.json").write_text('{"a": 1}')
    (tmp_path / "damaged.json").write_text('{"results": [')
    (tmp_path / "deep.jsonl").write_text("[" * 60_000)
    (tmp_path / "empty").mkdir()
    os.mkfifo(tmp_path / "pipe")
    line = next(frontier.glob("*.frontier.csv"))
    for name, why in {
        "notes.txt": "is of no kind that is known; expected what ofa.search",
        "other.json": "is of no kind that is known",
        "damaged.json": "not JSON",
        "deep.jsonl": "is of no kind that is known",
        "empty": "no run is in this folder",
        "pipe": "is a device or a pipe",
        "absent": "no such file or folder, nor a table that is shipped",
        str(line): "no network is in there to show: name the result.json",
        "long" * 100: "no file can be called that",
    }.items():
        with pytest.raises(InputError) as error:
            shown(tmp_path / name)
        assert why in str(error.value), name
        assert Path(name).name[:20] in str(error.value)


def test_a_folder_is_looked_through_and_what_is_damaged_left_out(
    frontier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def scandir(folder: Path) -> object:
        if Path(folder).name == "closed":
            raise PermissionError(13, "Permission denied", str(folder))
        return there(folder)

    there = os.scandir
    monkeypatch.setattr(os, "scandir", scandir)
    inner = tmp_path / "runs" / "deep" / "er"
    inner.mkdir(parents=True)
    for file in frontier.iterdir():
        (inner / file.name).write_bytes(file.read_bytes())
    (inner / "again.json").symlink_to(inner / "result.json")
    (inner / "round").symlink_to(tmp_path / "runs")
    for name in ("loop", "loop.json"):
        (tmp_path / "runs" / name).symlink_to(name)
    (tmp_path / "runs" / "closed").mkdir()
    (tmp_path / "runs" / "verified.json").write_text('{"results": [], "verification": {')
    cut = find_table("xeon-vm-onnxruntime").read_bytes()[:20_000]
    (tmp_path / "runs" / "table.csv").write_bytes(cut)
    (tmp_path / "runs" / "classes.json").write_text('{"cat": 0}')
    (tmp_path / "runs" / "x.journal.jsonl").write_text('{"kind": "settings"}\n')
    (tmp_path / "runs" / ".hidden.json").write_text("{")
    trained(tmp_path / "runs" / "supernet", 40)
    page = shown(tmp_path / "runs", inner / "result.json")
    assert [file.kind for file in page.files.read] == ["search", "frontier", "curves"]
    why = {left.path.name: left.why for left in page.files.left_out}
    assert [*why] == ["verified.json", "closed", "table.csv"]  # of the files that were read, then of tables
    assert "not JSON" in why["verified.json"]
    assert "is cut off" in why["table.csv"]
    assert why["closed"].endswith("closed cannot be read: Permission denied")
    with pytest.raises(InputError, match=r"table\.csv:\d+: the file is cut off"):
        shown(tmp_path / "runs", tmp_path / "runs" / "table.csv")
    assert [section.id for section in page.sections] == ["device-1", "training-1"]


# ---- the page


class Tags(HTMLParser):
    """Every tag of a page, and the text of its scripts of JSON."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.specs: list[Any] = []
        self._in_json = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._in_json = dict(attrs).get("type") == "application/json"

    def handle_data(self, data: str) -> None:
        if self._in_json:
            self.specs.append(json.loads(data))
            self._in_json = False


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the plotting library, which takes seconds to put together."""
    monkeypatch.setattr(pages, "javascript", lambda: "/* Vega */")


@pytest.mark.usefixtures("quick")
def test_names_from_files_are_text_wherever_they_stand(frontier: Path, tmp_path: Path) -> None:
    result = content(frontier / "result.json")
    (table,) = result["tables"]
    result["tables"] = {NASTY: {**result["tables"][table], "device": NASTY, "source": NASTY, NASTY: NASTY}}
    result["results"] = [{**row, "table": NASTY} for row in result["results"]]
    result["predictor"]["description"] = NASTY
    (tmp_path / "result.json").write_text(json.dumps(result))
    nasty = evaluated(tmp_path / "e.json", nasty=NASTY)
    page = page_of(ReportConfig(runs=(str(tmp_path / "result.json"), str(nasty)), title=NASTY))
    html = page.html()
    plain = Tags(shown(frontier / "result.json", evaluated(tmp_path / "plain.json")).html())
    found = Tags(html)
    # one row more says all of itself; nothing else is there that is not on a page of plain names
    counted = [[tag for tag, _ in tags.tags if tag not in ("dt", "dd", "li", "p", "pre")] for tags in (found, plain)]
    assert counted[0] == counted[1]
    assert len(found.specs) == 4
    assert "\u202e" not in html
    assert "onerror=alert" in json.dumps(found.specs)  # it is there, as a text


@pytest.mark.usefixtures("quick")
def test_the_page_asks_for_nothing_and_is_labelled(frontier: Path, tmp_path: Path) -> None:
    html = shown(frontier, trained(tmp_path / "t"), evaluated(tmp_path / "e.json"), "note8").html()
    tags = Tags(html).tags
    ids = [attrs["id"] for _, attrs in tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    for tag, attrs in tags:
        assert not {"src", "onclick", "onload"} & set(attrs), tag
        assert tag != "a" or attrs["href"] in {f"#{id}" for id in ids}
        assert tag != "input" or ("label", {"for": attrs["id"]}) in tags
        if "chart" in (attrs.get("class") or "").split():
            assert attrs["aria-label"]
    policy = next(attrs["content"] for tag, attrs in tags if attrs.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'; ")
    assert "url(" not in html


@pytest.mark.usefixtures("quick")
def test_the_command_writes_the_page_and_says_where(
    frontier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "r.html"
    done = ended(main, capsys, frontier, "note8", "--out", out)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"wrote {out} (")
    assert out.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    refused = ended(main, capsys, tmp_path / "absent", "--out", tmp_path / "no.html")
    assert (refused.returncode, refused.stdout, (tmp_path / "no.html").exists()) == (2, "", False)
    assert refused.stderr == f"error: {tmp_path}/absent: no such file or folder, nor a table that is shipped\n"
    assert COMMAND.config is ReportConfig


@pytest.mark.usefixtures("quick")
def test_a_page_replaces_a_page_and_nothing_else(
    frontier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result, text, page = tmp_path / "result.json", (frontier / "result.json").read_bytes(), tmp_path / "r.html"
    result.write_bytes(text)
    (tmp_path / "linked.html").symlink_to(result)
    for out in (result, tmp_path / "linked.html"):
        done = ended(main, capsys, result, "--out", out)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(f"error: --out {out} is there and is no HTML page")
        assert result.read_bytes() == text
    page.touch()
    for _ in range(2):
        assert ended(main, capsys, result, "--out", page).returncode == 0


def test_a_page_is_of_something() -> None:
    with pytest.raises(InputError, match="name at least one"):
        ReportConfig(runs=())
    assert Section("a", "b", "c", "d").view is None
    assert FoundNetwork.__dataclass_params__.frozen  # type: ignore[attr-defined]
