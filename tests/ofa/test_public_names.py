"""`import ofa`: what it offers, and that it loads none of it."""

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

import ofa

HOMES = ofa._HOMES


def test_every_name_is_what_its_home_says_and_listed() -> None:
    for name, home in HOMES.items():
        assert getattr(ofa, name) is getattr(importlib.import_module(home), name)
    assert set(HOMES) <= set(dir(ofa))
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        ofa.nothing  # noqa: B018


def test_type_checkers_are_told_the_same() -> None:
    tree = ast.parse(Path(ofa.__file__).read_text())
    imported = {
        alias.asname: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname
    }
    assert imported == HOMES
    assert (Path(ofa.__file__).parent / "py.typed").is_file()


def test_no_name_is_a_module_s() -> None:
    assert [name for name in HOMES if importlib.util.find_spec(f"ofa.{name}")] == []


def test_importing_loads_nothing_but_what_sees_to_ctrl_c() -> None:
    code = "import sys, ofa; print(*sorted(m for m in sys.modules if m.split('.')[0] in ('numpy', 'torch', 'ofa')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["ofa", "ofa.cli", "ofa.cli.loading"]
