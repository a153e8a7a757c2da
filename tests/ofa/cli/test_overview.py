"""`ofa`: the overview, the way to every command, and what it says of an unknown one."""

import importlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

import ofa
from ofa.cli.config import Input, Output, fields_of
from ofa.cli.overview import STEPS, find, main, overview
from ofa.errors import UsageError

ROOT = Path(__file__).resolve().parents[3]


def test_every_command_is_there_and_listed() -> None:
    text = overview()
    assert max(map(len, text.splitlines())) <= 120
    for entries in STEPS.values():
        for entry in entries:
            assert f"ofa {entry.name} " in text
            assert importlib.util.find_spec(entry.module), entry
            assert find([*entry.name.split(), "--help"]) == (entry, ["--help"])


# told apart by content in no other way: a tool's own files, and folders of downloads
NEITHER = {"agent_bin", "agent_lib", "agent_aar", "ssh_config", "cache"}


def test_every_file_of_every_command_is_marked_as_read_or_written() -> None:
    """So that none is written over: `compare A B --json B` once replaced a table."""
    looked_at = 0
    for entry in (entry for entries in STEPS.values() for entry in entries):
        package = importlib.util.find_spec(entry.module)
        assert package is not None
        module = importlib.import_module(entry.module + (".__main__" if package.submodule_search_locations else ""))
        for command in getattr(module, "COMMANDS", {"": getattr(module, "COMMAND", None)}).values():
            for field in fields_of(command.config):
                if "Path" in str(field.hint) and field.name not in NEITHER:
                    looked_at += 1
                    assert any(isinstance(mark, Input | Output) for mark in field.marks), (entry.module, field.name)
    assert looked_at > 30


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["serch"], "there is no command 'serch': did you mean search?; `ofa` lists all"),
        (["profile"], "ofa profile needs a device: cpu, gpu, android, linux"),
        (["profile", "andriod"], "ofa profile needs a device: cpu, gpu, android, linux: did you mean android?"),
        (["prfile", "cpu"], "there is no command 'prfile': did you mean profile?; `ofa` lists all"),
    ],
)
def test_an_unknown_command_is_named(words: list[str], message: str) -> None:
    with pytest.raises(UsageError) as raised:
        find(words)
    assert str(raised.value) == message


def test_the_overview_and_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["--help"], ["-h"]):
        assert main(words) == 0
        assert capsys.readouterr().out == overview() + "\n"
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == ofa.__version__ + "\n"


def run(*words: str, folder: Path) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-m", *words], capture_output=True, text=True, cwd=folder, env=environment, check=False
    )


def test_a_command_by_either_name_is_the_same(tmp_path: Path) -> None:
    ours, module = (run(*words, folder=tmp_path) for words in (["ofa", "search"], ["ofa.search"]))
    assert (ours.returncode, ours.stdout, ours.stderr) == (module.returncode, module.stdout, module.stderr)
    assert ours.returncode == 2
    listed = run("ofa", "zoo", "list", "--kind", "predictor", folder=tmp_path)
    assert listed.returncode == 0
    assert "acc_predictor" in listed.stdout
    assert run("profilers", folder=tmp_path).stdout == overview() + "\n"
