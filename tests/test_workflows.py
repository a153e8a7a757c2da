"""The workflows of .github: that the linters of `make test` accept them, and would not accept them with a fault."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
BIN = Path(sys.executable).parent


def lint(path: Path) -> str:
    """What the two linters, called as in the Makefile, find; empty if nothing."""
    found = ""
    for command in (
        [BIN / "check-jsonschema", "--builtin-schema", "vendor.github-workflows", path],
        [BIN / "zizmor", "--quiet", "--offline", "--strict-collection", path],
    ):
        done = subprocess.run(command, capture_output=True, text=True)
        found += (done.stdout + done.stderr) if done.returncode else ""
    return found


def test_the_makefile_lints_them_that_way() -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert "check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml" in makefile
    assert "zizmor --quiet --offline --strict-collection .github/workflows" in makefile


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_no_fault_is_found(path: Path) -> None:
    assert lint(path) == ""


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("runs-on: ubuntu-24.04", "run-on: ubuntu-24.04", "run-on"),
        ("timeout-minutes: 10", "timeout-minutes: soon", "timeout-minutes"),
        ("checkout@08c6903cd8c0fde910a37f88322edcfb5dd907a8 # v5.0.0", "checkout@v5", "unpinned-uses"),
        ("run: make .venv/installed", "run: echo ${{ github.head_ref }}", "template-injection"),
        ("persist-credentials: false", "fetch-depth: 1", "artipacked"),
    ],
)
def test_a_planted_fault_is_found(tmp_path: Path, old: str, new: str, found: str) -> None:
    text = (ROOT / ".github" / "workflows" / "nightly.yml").read_text()
    assert old in text
    folder = tmp_path / ".github" / "workflows"
    folder.mkdir(parents=True)
    (folder / "nightly.yml").write_text(text.replace(old, new))
    assert found in lint(folder / "nightly.yml")


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_job_ends_and_may_little(path: Path) -> None:
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {}
    assert workflow["concurrency"]["group"]
    for name, job in workflow["jobs"].items():
        assert job["timeout-minutes"] <= 240
        writes = {right for right, level in job["permissions"].items() if level == "write"}
        may = {"pull-request": {"contents", "pull-requests"}, "deploy": {"pages", "id-token"}}
        assert writes == may.get(name, set())
