"""Every command line of the README, the documentation and the workflows is one that its command takes."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from ofa.cli.overview import STEPS
from ofa.errors import UsageError
from ofa.zoo_files import entries
from tests.helpers.programs import parse, programs

ROOT = Path(__file__).resolve().parents[1]
PAGES = (
    *ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("device_agents/**/*.md"), *ROOT.glob("benchmarks/*.md"),
    *ROOT.glob("latency_tables/*.md"),
    *ROOT.glob(".github/workflows/*.yml"), ROOT / "Makefile",
)  # fmt: skip
BY_NAME = {entry.name: entry.module for entries in STEPS.values() for entry in entries}
MODULES = {*programs()} - {"ofa", "profilers"}  # these two show the overview
START = re.compile(
    r"(?:python[\d.]*|\$\(PYTHON\)) -m (?P<module>[a-z_.]+)|\bofa (?P<name>[a-z-]+(?: (?:cpu|gpu|android|linux))?)"
)
# what ends a command in a shell, and what stands for more of it in a text
END = re.compile(r"\s(?:\||>|<|&&|\|\||;|\.\.\.)(?:\s|$)|;\s|;$|[)`]+$|\s\.\.\.")


def lines_of(text: str) -> Iterator[tuple[bool, str]]:
    """(whether it is whole, the text) of every place for a command: a line of a block of code, code in a sentence."""
    text = re.sub(r"\\\n\s*", " ", text)
    fenced = False
    for line in text.splitlines():
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith(("    ", "\t")):
            yield True, line
        else:
            yield from ((False, code) for code in re.findall(r"`([^`]+)`", line))


def commands_of(text: str) -> Iterator[tuple[bool, str, list[str]]]:
    """(whether it is whole, module, its words) of every command of ours."""
    for whole, line in lines_of(text):
        for match in START.finditer(line):
            module = match["module"] or BY_NAME.get(match["name"] or "", "")
            if module in MODULES:
                end = END.search(line, match.end())
                rest = line[match.end() : end.start() if end else None]
                yield whole, module, words_of(rest)


def words_of(text: str) -> list[str]:
    """The words of a command, which may stand in quotes itself, and of which a part in brackets may be left out."""
    text = re.sub(r"\[[^\]]*\]", "", text)
    try:
        return shlex.split(text, comments=True)
    except ValueError:
        return shlex.split(text[: text.rindex('"')], comments=True)


FOUND = [
    (page.relative_to(ROOT), whole, module, words)
    for page in sorted(PAGES)
    if page.name != "CHANGELOG.md"  # tells of options as they were
    for whole, module, words in commands_of(page.read_text(encoding="utf-8"))
]


@pytest.fixture(autouse=True)
def zoo(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The supernets that pages name by their ids were fetched before."""
    folder = tmp_path_factory.getbasetemp() / "zoo"
    monkeypatch.setenv("OFA_ZOO_CACHE", str(folder))
    for file in (file for entry in entries() if entry.space for file in entry.files):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()


def test_they_are_found() -> None:
    text = "See `ofa profile cpu --quick` or `python -m ofa.search`.\n```\n$ python -m profilers.gpu --out a.csv \\\n"
    text += "    --name 'a b'  # slow\nls\n```\n    $(PYTHON) -m profilers.validate --table t | tee log\n"
    text += '    C="ofa compare a b [--json c]"\n'
    assert list(commands_of(text)) == [
        (False, "profilers.cpu", ["--quick"]),
        (False, "ofa.search", []),
        (True, "profilers.gpu", ["--out", "a.csv", "--name", "a b"]),
        (True, "profilers.validate", ["--table", "t"]),
        (True, "profilers.compare", ["a", "b"]),
    ]
    named = {module for _, _, module, _ in FOUND}
    assert named >= MODULES - {"ofa.predictors.study", "device_agents.android.testphone"}
    assert sum(whole for _, whole, _, _ in FOUND) > 40


@pytest.mark.parametrize(
    ("page", "whole", "module", "words"),
    FOUND,
    ids=[f"{page}-{module}-{i}" for i, (page, _, module, _) in enumerate(FOUND)],
)
def test_a_documented_command_line_is_taken(page: Path, whole: bool, module: str, words: list[str]) -> None:
    try:
        parse(module, words)
    except UsageError as error:
        # a sentence may leave out what a command needs, and N or $n stand for a number; but options are to be there
        left_out = re.search(r"is needed|needs a value|needs at least one value|no command", str(error))
        stands_for_more = re.search(r"'[A-Z]+', expected|\"\$[a-z]+\"", str(error))
        not_here = "is of the zoo, and was not fetched" in str(error)  # as other files that a page names are not
        mentioned = not whole or not words
        assert (mentioned and left_out) or stands_for_more or not_here, f"{page}: {module} {shlex.join(words)}: {error}"


def test_a_planted_fault_is_found() -> None:
    page = "```console\n$ ofa profile gpu --device cuda:0 \\\n    --batch-siz 64 --out a.csv | tee log\n```\n"
    ((whole, module, words),) = commands_of(page)
    with pytest.raises(AssertionError, match="Did you mean --batch-size"):
        test_a_documented_command_line_is_taken(ROOT / "README.md", whole, module, words)


# ---- benchmarks, whose parsers are their own

BENCHMARK = re.compile(
    r"(?P<settings>(?:\b[A-Z_]+=(?:\"[^\"]*\"|\S*) )*)(?:python )?(?P<path>benchmarks/[\w/]+\.(?:py|sh))"
)


def misspelt(text: str) -> Iterator[str]:
    """Options and settings of benchmarks' commands that their files do not know; files that are not there."""
    for _, line in lines_of(text):
        for match in BENCHMARK.finditer(line):
            path = ROOT / match["path"]
            if not path.is_file():
                yield f"{match['path']} is not there"
                continue
            end = END.search(line, match.end())
            asked = [word.partition("=")[0] for word in words_of(line[match.end() : end.start() if end else None])]
            asked = [word for word in asked if word.startswith("--")]
            if path.suffix == ".sh":
                asked += re.findall(r"\b([A-Z_]+)=", match["settings"])
            known = set(re.findall(r"--[a-z][a-z0-9-]*|\b[A-Z_]+\b", path.read_text(encoding="utf-8")))
            known |= {"OMP_NUM_THREADS", "--help"}
            yield from (f"{match['path']} has no {word}" for word in asked if word not in known)


def test_benchmarks_are_asked_for_what_they_know() -> None:
    pages = [page for page in PAGES if page.name != "CHANGELOG.md"]
    texts = [page.read_text(encoding="utf-8") for page in pages]
    assert sum(len(BENCHMARK.findall(line)) for text in texts for _, line in lines_of(text)) > 50
    found = {page.name: faults for page, text in zip(pages, texts, strict=True) if (faults := [*misspelt(text)])}
    assert found == {}


def test_a_benchmark_s_planted_fault_is_found() -> None:
    page = "```console\n$ DATTA=a.zip benchmarks/training/training_arms.sh uniform-0\n"
    page += "python benchmarks/search.py\npython benchmarks/search/search.py --figure F --seeds 3 # --no\n```\n"
    assert list(misspelt(page)) == [
        "benchmarks/training/training_arms.sh has no DATTA",
        "benchmarks/search.py is not there",
        "benchmarks/search/search.py has no --figure",
    ]
