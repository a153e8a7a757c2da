"""Rules of the code, and that they are kept everywhere: sequences that are walked together have one length, no text
shows None or a dictionary as Python writes it, and no name stands in the code that nothing uses.

One row too many that a `zip` took at every 64 images once shifted all pixels of a cache against their labels.
"""

from __future__ import annotations

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from profilers.devices import local_cpu
from tests.helpers.programs import nodes_of

ROOT = Path(__file__).parent.parent
FOLDERS = ("ofa", "profilers", "device_agents", "latency_tables", "benchmarks", "tests")
FILES = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
OURS = {path for path in FILES if path.relative_to(ROOT).parts[0] not in ("tests", "benchmarks")}


def faults(code: str, nodes: Sequence[ast.AST] | None = None) -> Iterator[tuple[int, str]]:
    """(line, what is wrong) of every walk whose sequences may be of different lengths, with no reason given.

    nodes: of the code, where they are known
    """
    if not re.search(r"\b(strict|zip|zip_longest|map)\b", code):
        return
    tokens = tokenize.generate_tokens(io.StringIO(code).readline)
    commented = {token.start[0] for token in tokens if token.type == tokenize.COMMENT}
    nodes = nodes or list(ast.walk(ast.parse(code)))
    iterators = {name for node in nodes for name in _iterators(node)}
    for call in (node for node in nodes if isinstance(node, ast.Call)):
        reasoned = bool(commented & {call.lineno, call.lineno - 1})
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        for keyword in call.keywords:
            line = keyword.value.lineno
            constant = keyword.value.value if isinstance(keyword.value, ast.Constant) else None
            lax = constant is False or (name == "zip" and constant is not True)
            if keyword.arg == "strict" and lax and not commented & {line, line - 1}:
                yield line, "not strict, without its reason in a comment"
        if name == "zip" and any(isinstance(argument, ast.Name) and argument.id in iterators for argument in call.args):
            yield call.lineno, "an iterator is zipped: where it ends first, what the others gave last is lost"
        if (name == "zip_longest" or (name == "map" and len(call.args) > 2)) and not reasoned:
            yield call.lineno, f"{name} of sequences that may differ in length, without its reason in a comment"


def _iterators(node: ast.AST) -> Iterator[str]:
    """Names that are given an iterator: what one loop takes from it, the next does not see."""
    if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
        function = node.value.func
        if isinstance(function, ast.Name) and function.id in ("iter", "enumerate", "map", "zip"):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))


def test_every_file_is_looked_at() -> None:
    assert len(FILES) > 150
    assert all(any(ROOT / folder in path.parents for path in FILES) for folder in FOLDERS)


def test_sequences_walked_together_have_one_length_or_a_reason() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {what}"
        for path in FILES
        for line, what in faults(path.read_text(encoding="utf-8"), nodes_of(path) if path in OURS else None)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("code", "lines"),
    [
        ("zip(a, b, strict=False)", [1]),
        ("zip(a, b, strict=False)  # b is endless", []),
        ("# b is endless\nzip(a, b, strict=False)", []),
        ("# b is endless\n\nzip(a, b, strict=False)", [3]),
        ("zip(a, b, strict=bool(a))", [1]),
        ("net.load_state_dict(kept, strict=False)", [1]),
        ("zip(a, b, strict=True)\nread(path, strict=strict)", []),
        ("rows = iter(mine)\nfor batch in batches:\n    zip(rows, batch, strict=True)", [3]),
        ("map(f, a, b)", [1]),
        ("map(f, a)", []),
        ("itertools.zip_longest(a, b)", [1]),
    ],
)
def test_planted_faults_are_found(code: str, lines: list[int]) -> None:
    assert [line for line, _ in faults(code)] == lines


@pytest.mark.parametrize("folder", FOLDERS)
def test_ruff_demands_strict_in_every_folder(folder: str) -> None:
    pytest.importorskip("ruff", reason="lint needs ruff: pip install -c constraints.txt ruff")
    command = [sys.executable, "-m", "ruff", "check", "--no-cache", "--output-format", "concise"]
    given = [*command, "--stdin-filename", f"{folder}/planted.py", "-"]
    ran = subprocess.run(given, input="print(*zip([1], [2]))\n", cwd=ROOT, text=True, capture_output=True)
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert "B905" in ran.stdout


def python_in_texts(nodes: Sequence[ast.AST]) -> Iterator[tuple[int, str]]:
    """(line, expression) of what a text would show as Python writes it: None, ['a'], {'a': 1}.

    Not in ValueError and TypeError, which tell of faults of ours.
    """
    ours = {
        inner
        for node in nodes
        if isinstance(node, ast.Raise) and re.match("(Value|Type)Error", ast.unparse(node.exc or node))
        for inner in ast.walk(node)
    }
    for node in nodes:
        if isinstance(node, ast.FormattedValue) and node not in ours and _is_python(node.value):
            yield node.lineno, ast.unparse(node.value)


CLOCKS = {"monotonic", "perf_counter", "time", "monotonic_ns", "perf_counter_ns", "time_ns"}
# a browser that does not answer is said to; two minutes are enough for the busiest machine
MAY_WAIT = {ROOT / "tests/ofa/report/browser.py"}


def deadlines(nodes: Sequence[ast.AST]) -> Iterator[tuple[int, str]]:
    """(line, what it is) of every place where a test fails if a process is slow: what is waited for has no deadline.

    A run's own limit of minutes ends what hangs (`timeout` in pyproject.toml).
    """
    for node in nodes:
        if isinstance(node, ast.Call) and any(keyword.arg == "timeout" for keyword in node.keywords):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in {"run", "communicate", "wait", "check_output", "check_call", "join", "Barrier"}:
                yield node.lineno, f"{name} with a timeout"
        if isinstance(node, ast.Compare) and any(map(_is_clock, ast.walk(node))):
            yield node.lineno, "a clock that is compared"


def _is_clock(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or node.func.attr not in CLOCKS:
        return False
    return isinstance(node.func.value, ast.Name) and node.func.value.id == "time"


def test_no_test_fails_because_a_process_is_slow() -> None:
    tests = [path for path in FILES if path.is_relative_to(ROOT / "tests") and path not in MAY_WAIT]
    found = [f"{path.relative_to(ROOT)}:{line}: {what}" for path in tests for line, what in deadlines(nodes_of(path))]
    assert found == []


@pytest.mark.parametrize(
    ("code", "count"),
    [
        ("process.communicate(timeout=30)", 1),
        ("subprocess.run(['x'], timeout=60)", 1),
        ("while time.monotonic() < deadline and not there(): pass", 1),
        ("assert time.perf_counter() - began < 2", 1),
        ("while not there(): time.sleep(0.02)", 0),
        ("agent(timeout=60)", 0),
        ("assert taken < 2", 0),
    ],
)
def test_a_deadline_is_found(code: str, count: int) -> None:
    assert len([*deadlines([*ast.walk(ast.parse(code))])]) == count


def test_a_machine_that_is_not_planted_is_not_timed() -> None:
    with pytest.raises(pytest.fail.Exception, match=r"plant one .*, or mark the test `live`"):
        local_cpu.local_agent(["agent"], ROOT, {}, 1.0)


def _is_python(value: ast.expr) -> bool:
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name):
        # shapes are written as (3, 224, 224) by everybody
        return value.func.id in ("list", "dict", "set", "sorted", "frozenset", "bytes", "repr")
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute):
        return value.func.attr == "get" and len(value.args) == 1
    return isinstance(value, ast.List | ast.Dict | ast.Set | ast.ListComp | ast.DictComp | ast.SetComp)


def test_no_text_shows_what_only_python_writes() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {what}"
        for path in sorted(OURS)
        for line, what in python_in_texts(nodes_of(path))
    ]
    assert found == []


@pytest.mark.parametrize(
    ("code", "expressions"),
    [
        ("raise InputError(f'they differ in {sorted(names)}')", ["sorted(names)"]),
        ("say(f'{count} failed: {dict(found.failed)}')", ["dict(found.failed)"]),
        ("text = f'process {facts.get(\"process\")}'", ["facts.get('process')"]),
        ('text = f\'process {facts.get("process", 0)}: {", ".join(sorted(names))}\'', []),
        ("raise ValueError(f'{sorted(shapes)}')", []),
    ],
)
def test_python_in_a_text_is_found(code: str, expressions: list[str]) -> None:
    assert [what for _, what in python_in_texts([*ast.walk(ast.parse(code))])] == expressions


PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("docs/**/*.ipynb")]
# for who writes Python, or named in a text: nothing of ours reads it
PUBLIC = {"load_image", "save_mit_network", "subnet_to_mit", "to_frame", "worker"}
TEST_PHONE = ROOT / "device_agents/android/testphone"  # what this does, tests use
# of others' classes, which call them
INHERITED = re.compile(r"__\w+__|handle_(starttag|endtag|data)|on_broken_pipe|extra_repr|find_spec")


def defined(nodes: Sequence[ast.AST]) -> Iterator[tuple[int, str]]:
    """(line, name) of every function, class and method, and of every name that is given a value in a module."""
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.lineno, node.name
        for statement in node.body if isinstance(node, ast.Module) else ():
            targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
            for target in targets:
                for name in target.elts if isinstance(target, ast.Tuple) else [target]:
                    if isinstance(name, ast.Name):
                        yield statement.lineno, name.id


def used(nodes: Sequence[ast.AST]) -> set[str]:
    """Names that are read or called, or stand as a text of their own."""
    found = set()
    for node in nodes:
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            found.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            found.add(node.attr)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
            found.add(node.value)
    return found


def unused(files: Mapping[Path, Sequence[ast.AST]], otherwise: set[str]) -> list[tuple[Path, int, str]]:
    """(file, line, name) of what no file uses. otherwise: names that are used elsewhere"""
    names = set.union(otherwise, *map(used, files.values()))
    return [
        (file, line, name)
        for file, nodes in files.items()
        for line, name in defined(nodes)
        if name not in names and not INHERITED.fullmatch(name)
    ]


def test_every_name_is_used() -> None:
    code = [each for page in PAGES for each in re.findall("(?s)```.*?```|`[^`]*`", page.read_text(encoding="utf-8"))]
    words = {word for each in code for word in re.findall(r"\w+", each)}
    files = {path: nodes_of(path) for path in [*FILES, *ROOT.glob("docs/site/*.py")] if "tests" not in path.parts}
    tests = set.union(*(used(nodes_of(path)) for path in FILES if "tests" in path.parts))
    found = unused(files, words | PUBLIC)
    assert [one for one in found if not (one[0].parent == TEST_PHONE and one[2] in tests)] == []
    assert not PUBLIC & set.union(*map(used, files.values()))


def test_planted_names_are_found() -> None:
    code = "A, B = 1, 2\nC: int = B\ndef f(): ...\nclass D:\n    def g(self): ...\n    def __len__(self): return 0\n"
    nodes = tuple(ast.walk(ast.parse(code + "from x import h\nh.i = 'k'\n\"f\"\n")))
    assert [one[1:] for one in unused({ROOT: nodes}, {"D"})] == [(1, "A"), (2, "C"), (5, "g")]
