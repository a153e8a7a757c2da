"""No name stands in the code that nothing uses: a reader would look for its use, and who edits keeps it alive."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from tests.helpers.programs import nodes_of

ROOT = Path(__file__).parent.parent
FOLDERS = ("ofa", "profilers", "device_agents", "latency_tables", "benchmarks", "docs/site")
FILES = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("docs/**/*.ipynb")]
# for who writes Python, or named in a text: nothing of ours reads it
PUBLIC = {"load_image", "save_mit_network", "subnet_to_mit", "to_frame", "worker"}
# what this does, tests use
TEST_PHONE = ROOT / "device_agents/android/testphone"
# of others' classes, which call them
INHERITED = re.compile(r"__\w+__|handle_(starttag|endtag|data)|on_broken_pipe|extra_repr|find_spec")


def defined(nodes: Iterable[ast.AST], module: ast.Module) -> Iterator[tuple[int, str]]:
    """(line, name) of every function, class and method, and of every name that is given a value in a module."""
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.lineno, node.name
    for statement in module.body:
        targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
        for target in targets:
            for name in target.elts if isinstance(target, ast.Tuple) else [target]:
                if isinstance(name, ast.Name):
                    yield statement.lineno, name.id


def used(nodes: Iterable[ast.AST]) -> set[str]:
    """Names that are read, called or imported from another module, or stand as a word of their own in a text."""
    found = set()
    for node in nodes:
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            found.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            found.add(node.attr)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
            found.add(node.value)
    return found


def unused(files: Mapping[str, Sequence[ast.AST]], otherwise: set[str]) -> list[str]:
    """ "file:line: name" of what no file uses. otherwise: names that are used elsewhere"""
    names = set.union(otherwise, *map(used, files.values()))
    return [
        f"{file}:{line}: {name}"
        for file, nodes in files.items()
        for line, name in defined(nodes, next(node for node in nodes if isinstance(node, ast.Module)))
        if name not in names and not INHERITED.fullmatch(name)
    ]


def test_every_name_is_used() -> None:
    code = [each for page in PAGES for each in re.findall("(?s)```.*?```|`[^`]*`", page.read_text(encoding="utf-8"))]
    words = {word for each in code for word in re.findall(r"\w+", each)}
    files = {path.relative_to(ROOT).as_posix(): nodes_of(path) for path in FILES}
    phone = {file: nodes for file, nodes in files.items() if (ROOT / file).parent == TEST_PHONE}
    tests = set.union(*(used(nodes_of(path)) for path in (ROOT / "tests").rglob("*.py")))
    assert len(files) > 400
    assert len(phone) > 5
    found = unused(files, words | PUBLIC)
    assert [name for name in found if not (name.startswith(tuple(phone)) and name.split()[-1] in tests)] == []
    assert not PUBLIC & set.union(*map(used, files.values()))


def test_planted_names_are_found() -> None:
    code = "A, B = 1, 2\nC: int = B\ndef f(): ...\nclass D:\n    def g(self): ...\n    def __len__(self): return 0\n"
    module = ast.parse(code + "from x import h\nh.i = 'k'\n\"f\"\n")
    assert unused({"m.py": tuple(ast.walk(module))}, {"D"}) == ["m.py:5: g", "m.py:1: A", "m.py:2: C"]
