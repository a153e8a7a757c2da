"""The documentation site: it is built with warnings as errors, and what its checks are for is found when planted."""

import html
import importlib.util
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import ofa
from ofa.cli.config import fields_of
from ofa.search.config import SearchConfig

ROOT = Path(__file__).resolve().parents[2]
SITE = ROOT / "docs" / "site"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as `docs/site/build.py` writes it: a process of its own, since it is a command."""
    if importlib.util.find_spec("zensical") is None:
        # `make test` and the workflows install the extra: with them this is never so
        pytest.skip("the site is built with the extra docs: pip install -c constraints.txt -e '.[docs]'")
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, str(SITE / "build.py"), "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return out / "site"


def words_of(page: Path) -> str:
    """Its text without markup."""
    return html.unescape(re.sub(r"<[^>]+>", "", page.read_text(encoding="utf-8")))


def test_every_page_is_in_it(site: Path) -> None:
    pages = runpy.run_path(str(SITE / "pages.py"))["pages_of"](ROOT)
    assert len(pages) > 30
    built = [p.with_name("index.html") if p.name == "README.md" else p.with_suffix(".html") for p in pages]
    assert [str(page) for page in built if not (site / page).is_file()] == []


def test_the_reference_has_every_option_and_every_public_name(site: Path) -> None:
    text = words_of(site / "reference" / "commands" / "search.html")
    assert [field.flag for field in fields_of(SearchConfig) if field.flag not in text] == []
    assert "find one network for all tables" in text  # the words under a field
    api = (site / "reference" / "api.html").read_text(encoding="utf-8")
    assert [name for name in ofa._HOMES if f'id="{name.lower()}"' not in api] == []


def test_lists_within_numbered_items_stay_lists(site: Path) -> None:
    """GitHub nests by three spaces, this Markdown by four."""
    text = (site / "ARCHITECTURE.html").read_text(encoding="utf-8")
    contracts = text[text.index('id="five-contracts"') : text.index('id="the-latency-table-schema-1"')]
    assert contracts.count("<ol>") == 1 and contracts.count("<ul>") == 2
    assert contracts.count("<li>") >= 5 + 4 + 2


@pytest.fixture
def faults() -> Any:
    return runpy.run_path(str(SITE / "check.py"))["faults"]


def slugs(text: str) -> set[str]:
    """The anchors that GitHub gives a page's headings."""
    found: list[str] = []
    fenced = False
    for line in text.splitlines():
        fenced ^= line.lstrip().startswith("```")
        if not fenced and (match := re.match(r"#+ (.*)", line)):
            words = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", match[1]).strip().lower()
            found.append(re.sub(r"[^\w\- ]", "", words).replace(" ", "-"))
    return set(found)


def lost(page: Path) -> list[str]:
    """Links of a page to others of the repository that GitHub could not follow."""
    text = re.sub(r"^```.*?^```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    found = []
    for path, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)", text):
        target = page.parent / path if path else page
        if "://" in path or (target.exists() and (not anchor or anchor in slugs(target.read_text(encoding="utf-8")))):
            continue
        found.append(f"{path}#{anchor}")
    return found


def test_links_lead_somewhere_on_github_too(tmp_path: Path) -> None:
    pages = runpy.run_path(str(SITE / "pages.py"))["pages_of"](ROOT)
    assert {str(page): missing for page in pages if (missing := lost(ROOT / page))} == {}
    planted = tmp_path / "a.md"
    planted.write_text("# One, two\n[a](#one-two) [b](#three) [c](d.md) `[e](f.md)` [g](https://x.org/#h)\n")
    assert lost(planted) == ["#three", "d.md#"]


GOOD = '<h1 id="top">A</h1><a href="b.html#end">b</a><a href="https://x.org">x</a><p>One <code>- two</code></p>'


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("", "", []),
        ("b.html#end", "c.html", ["a.html: c.html is not there"]),
        ("b.html#end", "b.html#begin", ["a.html: b.html#begin: there is no such heading"]),
        ("b.html#end", "#bottom", ["a.html: #bottom: there is no such heading"]),
        ('<a href="https', '<img src="https', ["a.html: loads https://x.org"]),
        ("<h1", '<script src="//x.org/a.js"></script><h1', ["a.html: loads //x.org/a.js"]),
        ("<h1", '<link rel="stylesheet" href="http://x.org/f.css"><h1', ["a.html: loads http://x.org/f.css"]),
        ("One ", "One:\n- two\n", ["a.html: a list or table needs an empty line before it: 'One:\\n- two\\n'"]),
    ],
)
def test_a_planted_fault_is_found(faults: Any, tmp_path: Path, old: str, new: str, expected: list[str]) -> None:
    assert old in GOOD
    (tmp_path / "a.html").write_text(GOOD.replace(old, new) if old else GOOD)
    (tmp_path / "b.html").write_text('<h2 id="end">B</h2>')
    (tmp_path / "s.css").write_text("a { background: url(data:image/png;base64,AA) }")
    assert faults(tmp_path) == expected


def test_a_font_from_elsewhere_is_found(faults: Any, tmp_path: Path) -> None:
    (tmp_path / "s.css").write_text("@font-face { src: url('https://x.org/f.woff2') }")
    assert faults(tmp_path) == ["s.css: loads https://x.org/f.woff2"]


def test_links_to_code_lead_to_the_repository_or_are_words() -> None:
    text = "[all](latency), [tables](../docs/search.md#a), [x](https://x.org)\n```\n[all](latency)\n```\n"
    site_text = runpy.run_path(str(SITE / "pages.py"))["for_the_site"]
    page = ROOT / "benchmarks" / "README.md"
    kept = "[tables](../docs/search.md#a), [x](https://x.org)\n```\n[all](latency)\n```\n"
    assert site_text(text, ROOT, page, "") == f"all, {kept}"
    there = "https://github.com/o/n"
    assert site_text(text, ROOT, page, there) == f"[all]({there}/tree/main/benchmarks/latency), {kept}"
