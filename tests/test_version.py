"""One version, everywhere it is written; and the files beside the code that tools read."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import ofa

ROOT = Path(__file__).resolve().parent.parent
CITATION = ROOT / "CITATION.cff"
CHECK = [Path(sys.executable).parent / "check-jsonschema", "--builtin-schema", "vendor.citation-file-format"]
# entries of released sections: a new line belongs to "Unreleased", also after a rebase
RELEASED = {"0.1.0": 23}
SECTION = re.compile(r"^## (.+)$", re.MULTILINE)


def test_all_places_name_one_version() -> None:
    citation = yaml.safe_load(CITATION.read_text())
    sections = SECTION.findall((ROOT / "CHANGELOG.md").read_text())
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == ofa.__version__
    assert citation["version"] == ofa.__version__
    assert sections[:2] == ["Unreleased", f"{ofa.__version__} ({citation['date-released']})"]


def test_released_sections_of_the_changelog_stay_as_they_are() -> None:
    sections = (ROOT / "CHANGELOG.md").read_text().split("\n## ")[2:]
    assert {section.split()[0]: section.count("\n- ") for section in sections} == RELEASED


@pytest.mark.parametrize(
    ("old", "new"), [("", ""), ("cff-version: 1.2.0", "cff-version: 9"), ("type: doi", "type: number")]
)
def test_the_citation_is_valid_and_a_planted_fault_is_found(tmp_path: Path, old: str, new: str) -> None:
    text = CITATION.read_text()
    assert old in text
    (tmp_path / "CITATION.cff").write_text(text.replace(old, new) if old else text)
    done = subprocess.run([*CHECK, tmp_path / "CITATION.cff"], text=True, capture_output=True)
    assert done.returncode == bool(old), done.stdout + done.stderr


@pytest.mark.parametrize(
    "page",
    [
        "CONTRIBUTING.md",
        "README.md",
        "ARCHITECTURE.md",
        "docs/contributing/compatibility.md",
        "docs/contributing/adding_a_block.md",
        "docs/results.md",
        "latency_tables/README.md",
    ],
)
def test_links_and_files_that_a_page_names_are_there(page: str) -> None:
    text = (ROOT / page).read_text()
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    assert [link for link in links if not ((ROOT / page).parent / link).exists()] == []
    named = re.findall(r"`((?:tests|docs|ofa|device_agents)/[\w/.]+)`", text)
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_hooks_are_local_and_call_the_tools_of_make() -> None:
    repos = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert [repo["repo"] for repo in repos] == ["local"]
    entries = [hook["entry"].split()[0] for hook in repos[0]["hooks"]]
    assert entries == [".venv/bin/ruff", ".venv/bin/ruff", ".venv/bin/mypy"]
    assert {hook["language"] for hook in repos[0]["hooks"]} == {"system"}


def test_every_mark_is_told_to_contributors() -> None:
    marks = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]["markers"]
    text = (ROOT / "CONTRIBUTING.md").read_text()
    assert [mark for mark in marks if f"`{mark.partition(':')[0]}`" not in text] == []


def test_one_module_knows_the_block_operators() -> None:
    code = [path for package in ("ofa", "profilers") for path in (ROOT / package).rglob("*.py")]
    known = {
        path.relative_to(ROOT).as_posix() for path in code if re.search(r'"bottleneck"|Bottleneck\b', path.read_text())
    }
    # the original's own files; and units of a space, which name their operator
    elsewhere = {"ofa/checkpoints/mit_layout.py", "ofa/published/net_config.py", "ofa/space/unit_operators.py"}
    assert known - elsewhere == {"ofa/blocks/operators.py"}
