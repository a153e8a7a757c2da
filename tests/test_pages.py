"""Pages can be read at a width of 120, and in one go: no line beyond it, none of the turns of a translation."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
WIDTH = 120
# each of these made sentences that had to be read twice
TURNS = re.compile(
    r"half-way|\b(?:goes|go|gone) on (?:with|by|there|to)|\b(?:is|are|be) told\b|\btells of\b|saw no fit"
    r"|no fit (?:had )?(?:saw|seen)\b|\bnever saw\b|\b(?:is|are|was|were) said\b|promised too"
    r"|\bsays? (?:nothing|little)\b|\bcannot be told\b|\bcalled apart\b|\bnobody can (?:say|tell)\b"
)
FOLDERS = ("docs", "device_agents", "benchmarks", "latency_tables", "ofa")
PAGES = [
    page
    for page in (*ROOT.glob("*.md"), *(page for folder in FOLDERS for page in (ROOT / folder).rglob("*.md")))
    if page.name != "CHANGELOG.md"
]


def faults(text: str) -> Iterator[tuple[int, str]]:
    """(line, what is wrong). Rows of tables may be long."""
    for number, line in enumerate(text.splitlines(), 1):
        if len(line) > WIDTH and not line.startswith("|"):
            yield number, f"{len(line)} characters"
    # a turn may be broken over two lines
    for match in TURNS.finditer(re.sub(r"\s", " ", text)):
        yield text.count("\n", 0, match.start()) + 1, match[0]


def test_they_are_found() -> None:
    assert len(PAGES) > 15


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_a_page_can_be_read(page: Path) -> None:
    assert [*faults(page.read_text(encoding="utf-8"))] == []


def test_planted_faults_are_found() -> None:
    text = f"# A page\n\nKilled half-way, it goes\non by `--resume`.\n{'x' * 121}\n| {'x' * 200} |\n"
    assert [*faults(text)] == [(5, "121 characters"), (3, "half-way"), (3, "goes on by")]
