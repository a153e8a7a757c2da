"""The plan of the house, read off its imports: no circles, arrows one way, rooms and modules of a size to take in."""

import ast
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

from tests.helpers.programs import nodes_of

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("ofa", "profilers", "device_agents", "latency_tables")
MODULES_A_FOLDER = 12
LINES_A_MODULE = 350
LINES_A_TEST_MODULE = 400
LINES_A_FUNCTION = 60

# What is larger than it should be today: lists that only shrink, each with what it may have. Functions and modules
# are named without their package, so that they can move.
CROWDED: dict[str, int] = {}
LONG_MODULES: dict[str, int] = {}
LONG_FUNCTIONS: dict[str, int] = {}

# (who, whom it must not reach by any way)
FORBIDDEN = (
    ("profilers", "ofa.training"),
    ("profilers", "ofa.export"),
    ("latency_tables", "profilers"),
    ("ofa", "profilers"),
    ("ofa", "device_agents"),
    ("ofa", "latency_tables"),
    ("device_agents.cpu", "ofa"),
    ("device_agents.cuda", "ofa"),
    ("device_agents", "profilers"),
    ("ofa.predict", "ofa.networks"),  # it runs where no torch is
    ("ofa.search", "ofa.export"),
    ("ofa.search", "ofa.training"),
    ("ofa.search", "ofa.networks"),
    ("ofa.search", "ofa.report"),
    ("ofa.report", "ofa.networks"),
    ("ofa.report.inputs", "ofa.report.parts"),
    ("ofa.report.parts", "ofa.report.charts"),
    ("ofa.report.charts", "ofa.report.sections"),
    ("ofa.training", "ofa.export"),
    ("ofa.train", "ofa.export"),
    ("ofa.checkpoints", "ofa.export"),
    ("ofa.checkpoints", "ofa.training"),
    ("ofa.blocks", "ofa.tables"),
    ("ofa.tables", "ofa.predictors"),
    ("ofa.tables", "ofa.search"),
    ("ofa.tables", "ofa.networks"),
    ("ofa.tables", "ofa.graph"),
    ("ofa.graph", "ofa.export"),
    ("ofa.graph", "ofa.networks"),
    ("ofa.graph", "ofa.published"),
    ("ofa.published", "ofa.networks"),
    ("ofa.published", "ofa.tables"),
    ("ofa.search.run", "ofa.published"),  # what is found does not depend on what is shown beside it
    ("ofa.graph", "ofa.tables"),
    ("ofa.space", "ofa.blocks"),
    ("ofa.space", "ofa.cli"),
    ("ofa.reading", "ofa.space"),
    # rooms of the profilers, from the ground up: a measurement knows no device and no table
    ("profilers.measuring", "profilers.devices"),
    ("profilers.measuring", "profilers.profiling"),
    ("profilers.measuring", "profilers.in_place"),
    ("profilers.in_place", "profilers.devices"),
    ("profilers.in_place", "profilers.profiling"),
    ("profilers.devices", "profilers.profiling"),
    ("profilers.devices", "profilers.changes"),
    ("profilers.profiling", "profilers.changes"),
    ("profilers.profiling", "profilers.whole_networks"),
    ("profilers.whole_networks", "profilers.changes"),
    ("profilers.estimating", "profilers.changes"),
    ("profilers.whole_networks", "profilers.verifying"),
    ("profilers.changes", "profilers.verifying"),
    ("profilers.looping", "profilers.devices"),
    ("profilers.looping", "profilers.energies"),
    ("profilers.energies", "profilers.verifying"),
    ("profilers.looping", "profilers.verifying"),
    ("profilers.changes", "profilers.lab"),
)
ROOMS = (
    *("measuring", "in_place", "devices", "profiling", "whole_networks", "estimating", "changes"),
    *("looping", "published", "energies", "verifying"),
)
COMMANDS = {
    *(
        "android",
        "baselines",
        "compare",
        "cpu",
        "energy",
        "gpu",
        "lab",
        "linux",
        "margin",
        "regenerate",
        "transfer",
        "validate",
        "verify",
    ),
}


def module_of(path: Path) -> ast.Module:
    """The syntax tree of a file, read once."""
    tree = nodes_of(path)[0]
    assert isinstance(tree, ast.Module)
    return tree


@cache
def trees() -> Mapping[str, tuple[Path, ast.Module]]:
    """Every module of the packages: its file and syntax tree."""
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            found[name] = (path, module_of(path))
    return found


def imported(name: str, tree: ast.AST, modules: Mapping[str, object]) -> Iterator[str]:
    """The modules of ours that a tree imports, at its top or in its functions; not those for type checking alone."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: imports are absolute"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                if inner in modules:
                    yield inner
                elif node.module in modules:
                    yield str(node.module)
        else:
            yield from imported(name, node, modules)


def arrows(modules: Mapping[str, tuple[Path, ast.Module]]) -> dict[str, set[str]]:
    """{module: those that it imports}."""
    return {name: {to for to in imported(name, tree, modules) if to != name} for name, (_, tree) in modules.items()}


@cache
def house() -> dict[str, set[str]]:
    """The arrows of all packages, read once."""
    return arrows(trees())


def circle(graph: Mapping[str, set[str]]) -> list[str]:
    """Some circle of a graph; [] where there is none."""
    done: set[str] = set()

    def walk(name: str, way: list[str]) -> list[str]:
        if name in way:
            return [*way[way.index(name) :], name]
        if name in done:
            return []
        for to in sorted(graph.get(name, ())):
            if found := walk(to, [*way, name]):
                return found
        done.add(name)
        return []

    return next((found for name in sorted(graph) if (found := walk(name, []))), [])


def way(graph: Mapping[str, set[str]], who: str, whom: str) -> list[str]:
    """How a package reaches another, module by module; [] where it does not."""
    ways = [[name] for name in sorted(graph) if _within(name, who)]
    seen = {steps[0] for steps in ways}
    for steps in ways:
        for to in sorted(graph[steps[-1]]):
            if _within(to, whom):
                return [*steps, to]
            if to not in seen:
                seen.add(to)
                ways.append([*steps, to])
    return []


def _within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def test_circles_and_ways_are_found() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert circle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []
    assert way({"x.a": {"y"}, "y": {"z.b"}, "z.b": set()}, "x", "z") == ["x.a", "y", "z.b"]
    assert way({"x.a": {"y"}, "y": set(), "z.b": {"y"}}, "x", "z") == []
    hidden = ast.parse("def f():\n    if True:\n        from x import a\n    import y\nif TYPE_CHECKING:\n    import z")
    assert set(imported("m", hidden, {"x": 0, "x.a": 0, "y": 0, "z": 0})) == {"x.a", "y"}


def test_imports_have_no_circle() -> None:
    assert circle(house()) == []


@pytest.mark.parametrize(("who", "whom"), FORBIDDEN)
def test_imports_point_one_way(who: str, whom: str) -> None:
    assert any(_within(name, who) for name in trees()), f"there is no {who}"
    assert way(house(), who, whom) == []


# what runs on a device alone imports nothing of the host's: it would have to parse its own command line
ALONE = ("device_agents.cpu", "device_agents.cuda")


def hand_made_parsers(nodes: Iterable[ast.AST]) -> list[str]:
    """What shows that a module parses a command line by hand, or takes what such a parser made."""
    found = []
    for node in nodes:
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
        found += [f"imports {name}" for name in names if name.split(".")[0] in ("argparse", "optparse", "getopt")]
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            args = node.args
            given = (*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg)
            kinds = [node.returns, *(argument.annotation for argument in given if argument)]
            if any(kind is not None and "Namespace" in ast.unparse(kind) for kind in kinds):
                found.append(f"{node.name} takes or gives a Namespace")
    return found


def test_no_command_has_a_parser_of_its_own() -> None:
    found = {
        name: faults
        for name, (path, _) in trees().items()
        if not any(_within(name, agent) for agent in ALONE) and (faults := hand_made_parsers(nodes_of(path)))
    }
    assert found == {}


@pytest.mark.parametrize(
    ("code", "faults"),
    [
        ("import argparse", ["imports argparse"]),
        ("def f():\n    from argparse import ArgumentParser as P", ["imports argparse"]),
        ("if TYPE_CHECKING:\n    import argparse as a", ["imports argparse"]),
        ("def f(args: argparse.Namespace) -> int: ...", ["f takes or gives a Namespace"]),
        ("def f(*, args: 'Namespace | None' = None): ...", ["f takes or gives a Namespace"]),
        ("async def f(*args: Namespace): ...", ["f takes or gives a Namespace"]),
        ("def f() -> Namespace: ...", ["f takes or gives a Namespace"]),
        ("from types import SimpleNamespace\nimport args", []),
    ],
)
def test_a_planted_parser_is_found(code: str, faults: list[str]) -> None:
    assert hand_made_parsers(ast.walk(ast.parse(code))) == faults


def test_an_agent_imports_nothing_of_the_host() -> None:
    for name, found in house().items():
        if _within(name, "device_agents") and not _within(name, "device_agents.android"):
            assert not [to for to in found if not _within(to, "device_agents")], name


def test_the_profilers_root_holds_the_commands_and_rooms_reach_no_command() -> None:
    graph = house()
    root = {name.split(".")[1] for name in graph if name.startswith("profilers.")} - {"__main__"}
    assert root == {*COMMANDS, *ROOMS}
    commands = {f"profilers.{name}" for name in COMMANDS}
    for name, found in graph.items():
        if any(_within(name, f"profilers.{room}") for room in ROOMS):
            assert not found & commands, name


def test_no_folder_is_crowded() -> None:
    shrinks(crowded(ROOT, (*PACKAGES, "benchmarks", "tests")), CROWDED)


def crowded(root: Path, packages: tuple[str, ...]) -> dict[str, int]:
    """How many modules are in each folder that has too many."""
    modules = [path for package in packages for path in (root / package).rglob("*.py")]
    counts = Counter(path.parent for path in modules if path.name not in ("__init__.py", "__main__.py", "conftest.py"))
    return {str(folder.relative_to(root)): n for folder, n in counts.items() if n > MODULES_A_FOLDER}


def test_a_crowded_folder_is_found(tmp_path: Path) -> None:
    (tmp_path / "p" / "q").mkdir(parents=True)
    for n in range(13):
        assert crowded(tmp_path, ("p",)) == {}
        (tmp_path / "p" / "q" / f"{n}.py").touch()
        (tmp_path / "p" / "q" / f"{n}.json").touch()
        (tmp_path / "p" / "__init__.py").touch()
    assert crowded(tmp_path, ("p",)) == {"p/q": 13}


def long_module(code: str, most: int = LINES_A_MODULE) -> int:
    """Its lines, where they are too many; else 0."""
    length = len(code.splitlines())
    return length if length > most else 0


def test_no_test_module_is_long() -> None:
    codes = {path: path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py")}
    found = {str(path.relative_to(ROOT)): long_module(code, LINES_A_TEST_MODULE) for path, code in codes.items()}
    assert {name: length for name, length in found.items() if length} == {}


def test_no_module_is_long() -> None:
    found: dict[str, int] = {}
    for name, (path, _) in trees().items():
        if length := long_module(path.read_text(encoding="utf-8")):
            last = name.rpartition(".")[2]
            found[last] = max(length, found.get(last, 0))
    shrinks(found, LONG_MODULES)


def long_functions(nodes: Iterable[ast.AST]) -> Iterator[tuple[str, int]]:
    """Functions, methods and functions in them with too many lines, and how many."""
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
            length = node.end_lineno - node.lineno + 1
            if length > LINES_A_FUNCTION:
                yield node.name, length


def test_no_function_is_long() -> None:
    found: dict[str, int] = {}
    for path, _ in trees().values():
        for name, length in long_functions(nodes_of(path)):
            found[name] = max(length, found.get(name, 0))
    shrinks(found, LONG_FUNCTIONS)


def test_what_is_too_long_is_found() -> None:
    assert (long_module("a = 1\n" * 350), long_module("a = 1\n" * 351)) == (0, 351)
    assert [long_module("a = 1\n" * n, LINES_A_TEST_MODULE) for n in (400, 401)] == [0, 401]
    lines = "".join(f"        a{n} = {n}\n" for n in range(60))
    code = f"class C:\n    async def long(self):\n{lines}\n    def short(self):\n{lines[: lines.index('        a59')]}"
    assert list(long_functions(ast.walk(ast.parse(code)))) == [("long", 61)]
    with pytest.raises(AssertionError, match="larger than it should be"):
        shrinks({"long": 61}, {})
    with pytest.raises(AssertionError, match="take it off the list"):
        shrinks({}, {"long": 61})


# words that were a dict here, a list and a text there
MEANINGLESS = {"told", "said", "subjects", "several", "remote", "study", "fidelity"}


def meaningless(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Names of variables, arguments and attributes that say nothing of what they hold."""
    for node in nodes:
        if isinstance(node, ast.arg):
            name = node.arg
        elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            name = node.id if isinstance(node, ast.Name) else node.attr
        else:
            continue
        if name in MEANINGLESS:
            yield name


def test_names_say_what_they_hold() -> None:
    assert {name: found for name, (path, _) in trees().items() if (found := [*meaningless(nodes_of(path))])} == {}
    planted = "def f(told, *, said=0, **x):\n    self.remote = [study for study in x]\n    return said.told"
    assert sorted(meaningless(ast.walk(ast.parse(planted)))) == ["remote", "said", "study", "told"]


def public_classes(modules: Mapping[str, tuple[Path, ast.Module]]) -> dict[str, list[str]]:
    """{class: the modules that define one of that name}; without the agents, which share nothing."""
    found: dict[str, list[str]] = {}
    for name, (_, tree) in modules.items():
        if not any(_within(name, agent) for agent in ALONE):
            for node in tree.body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    found.setdefault(node.name, []).append(name)
    return found


def test_no_two_classes_have_one_name() -> None:
    assert {name: found for name, found in public_classes(trees()).items() if len(found) > 1} == {}
    planted = {name: (Path(), ast.parse("class Plan: ...\nclass _Own: ...")) for name in ("ofa.a", "ofa.b")}
    assert public_classes(planted) == {"Plan": ["ofa.a", "ofa.b"]}


def shrinks(found: Mapping[str, int], known: Mapping[str, int]) -> None:
    """What is too large is known, and has not grown; what is known is still there."""
    grown = {name: size for name, size in found.items() if size > known.get(name, 0)}
    assert not grown, f"larger than it should be: {grown}"
    assert not known.keys() - found.keys(), "no longer too large: take it off the list"
