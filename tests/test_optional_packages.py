"""Packages that only extras install: every import of one is known, and what a user without it is told."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from ofa.cli.run import FAULT
from ofa.errors import InputError
from ofa.optional_packages import OPTIONAL, MissingPackage, explained, missing_package, require
from tests.helpers.programs import nodes_of

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("ofa", "profilers", "device_agents", "latency_tables")
FILES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# what an installed user does not have; `report.md` and the like are files that commands write
LACKING = re.compile(
    r"constraints\.txt|\bdocs/|\bbenchmarks/|\btests/|Makefile|README|latency_tables/[a-z0-9-]+\.(csv|toml)"
)


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[<>=;\[ ]", requirement)[0].lower().replace("_", "-") for requirement in requirements}


def imported(nodes: Sequence[ast.AST]) -> set[str]:
    """Top-level names of all imports, in functions too."""
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0])
    return found


def hints(nodes: Sequence[ast.AST]) -> Iterator[str]:
    """Text that may be shown: all but the docstrings of modules and functions (those of configs become help)."""
    silent = {
        node.body[0].value
        for node in nodes
        if isinstance(node, (ast.Module, ast.FunctionDef)) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in silent:
            yield node.value


def test_every_import_is_of_python_of_ours_required_or_known_as_optional() -> None:
    required = {name.replace("-", "_") for name in names(PROJECT["dependencies"])}
    with_torch = {"triton"}  # comes with a torch for GPUs, and is looked for before it is imported
    known = {*sys.stdlib_module_names, *PACKAGES, *required, *OPTIONAL, *with_torch}
    found = {(path.relative_to(ROOT).as_posix(), name) for path in FILES for name in imported(nodes_of(path))}
    assert len(FILES) > 200
    assert sorted((path, name) for path, name in found if name not in known) == []
    # two are imported by their names in strings
    assert set(OPTIONAL) - {name for _, name in found} == {"pillow_heif", "torchvision"}


@pytest.mark.parametrize("module", OPTIONAL)
def test_the_extra_that_is_named_installs_it(module: str) -> None:
    package, extra = OPTIONAL[module]
    assert package.lower() in names(PROJECT["optional-dependencies"][extra])
    assert str(missing_package(module, "it")) == f"it needs {package}: pip install 'ofa-latency[{extra}]'"


def test_no_hint_names_a_file_that_only_a_checkout_has() -> None:
    # `latency_tables/x.csv` in an example of what a command writes is no such file
    found = [
        f"{path.relative_to(ROOT)}: {match.group()}"
        for path in FILES
        for text in hints(nodes_of(path))
        if (match := LACKING.search(text)) and "--out latency_tables/" not in text
    ]
    assert found == []
    planted = 'def f():\n    """See docs/x.md."""\n    raise E(f"pip install -c constraints.txt {x}")'
    assert [text for text in hints([*ast.walk(ast.parse(planted))]) if LACKING.search(text)] == [
        "pip install -c constraints.txt "
    ]


def test_a_package_is_asked_for_before_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    require("scipy", "it")
    monkeypatch.setattr("ofa.optional_packages.find_spec", lambda _: None)
    monkeypatch.delitem(sys.modules, "yaml", raising=False)
    with pytest.raises(MissingPackage, match=r"^it needs PyYAML: pip install 'ofa-latency\[convert\]'$"):
        require("yaml", "it")
    assert issubclass(MissingPackage, InputError)
    assert MissingPackage.exit_code == 2


def test_what_an_import_that_failed_means() -> None:
    assert str(explained(ImportError("x", name="PIL._imaging"))).startswith("this needs Pillow: pip install")
    assert explained(ImportError("x", name="ofa.no_such")) is None
    assert explained(ImportError("x")) is None


@pytest.mark.parametrize(("failed", "code"), [("None", 2), ("5", 5)])
def test_every_command_says_it_in_one_line(failed: str, code: int) -> None:
    program = f"""
import sys
from ofa.cli.run import run
sys.modules["scipy"] = None  # Python's own way to forbid an import
def main():
    from scipy.optimize import nnls
run(main, failed={failed})
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, text=True, capture_output=True)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr == "error: this needs SciPy: pip install 'ofa-latency[report]'\n"


def test_a_fault_of_ours_keeps_its_traceback(tmp_path: Path) -> None:
    program = "from ofa.cli.run import run\ndef main():\n    import ofa.no_such\nrun(main)"
    surroundings = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, text=True, capture_output=True, env=surroundings)
    assert done.returncode == FAULT
    (file,) = tmp_path.iterdir()
    assert done.stderr.endswith(f"please report it with {file}\n")
    assert "Traceback" in file.read_text()
