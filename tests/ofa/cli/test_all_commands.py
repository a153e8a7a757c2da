"""Every command that is made from a config: documented, with an example that parses, and of an identity."""

import importlib
import importlib.util
import os
import re
import runpy
import shlex
import sys
from collections.abc import Callable
from copy import copy
from pathlib import Path
from typing import Any, get_args

import pytest
from cyclopts import CycloptsError

from ofa.cli.command import Command, _check_kinds, _plain, docs_of
from ofa.cli.config import Free, Input, Output, fields_of
from ofa.cli.options import file_or_name
from ofa.cli.overview import STEPS
from ofa.errors import InputError, UsageError
from tests.helpers.programs import parse, programs


def commands() -> dict[str, Command[Any]]:
    found: dict[str, Command[Any]] = {}
    for entries in STEPS.values():
        for entry in entries:
            spec = importlib.util.find_spec(entry.module)
            assert spec is not None, entry
            package = spec.submodule_search_locations is not None
            module = importlib.import_module(entry.module + ".__main__" if package else entry.module)
            several = getattr(module, "COMMANDS", {"": getattr(module, "COMMAND", None)})
            found |= {f"{entry.name} {name}".strip(): command for name, command in several.items() if command}
    for name in ("device_agents.android.bundle", "device_agents.android.testphone.__main__"):
        found[name] = importlib.import_module(name).COMMAND
    return found


COMMANDS = commands()


def test_they_are_found() -> None:
    assert {"search", "zoo list", "zoo fetch"} <= set(COMMANDS)
    # every entry of the overview is made from a config: none has a parser of its own
    names = {entry.name for entries in STEPS.values() for entry in entries}
    assert names <= {name for command in COMMANDS for name in (command, command.rpartition(" ")[0])}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_field_has_its_words_and_every_path_its_mark(name: str) -> None:
    command = COMMANDS[name]
    docs = docs_of(command.config)
    for field in fields_of(command.config):
        assert docs.get(field.name), f"{field.flag} has no docstring under it"
        paths = field.bare is Path or Path in get_args(field.bare)
        marked = any(isinstance(mark, Input | Free) for mark in field.marks)
        assert marked or not paths, f"{field.flag} is neither Input nor Free"


@pytest.mark.parametrize("name", COMMANDS)
def test_an_empty_name_of_a_file_is_refused_as_such(name: str) -> None:
    """Path("") is this folder: what a variable of the shell that is not set would read, or write into."""
    command = COMMANDS[name]
    example = shlex.split(command.example)
    for field in fields_of(command.config):
        paths = field.bare is Path or Path in get_args(field.bare)
        if field.option.positional:
            given = getattr(command.parse(example), field.name)
            named = Path(given[0] if field.is_list else given) if given else Path(example[0])
            lines = [[blank if Path(each) == named else each for each in example] for blank in ("", " ")]
        elif paths or any(isinstance(mark, Input | Output) for mark in field.marks):
            without = [*example]
            if field.flag in without:
                del without[without.index(field.flag) : without.index(field.flag) + 2]
            lines = [[*without, *words] for words in ([field.flag, ""], [f"{field.flag}="], [field.flag, " "])]
        else:
            continue
        for line in lines:
            with pytest.raises(UsageError, match=rf"^{field.flag} is ' ?', expected a name"):
                command.parse(line)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_example_parses_and_the_help_fits(name: str) -> None:
    command = COMMANDS[name]
    words = shlex.split(command.example)
    config = command.parse(words)
    assert isinstance(config, command.config)
    # by a parser of the options that it names, as by one that knows all
    assert config == command.config(**command._bound(words, fields_of(command.config)))
    text = command.help()
    # what a reader types off the help is this command
    (example,) = [line.removeprefix("example: ") for line in text.splitlines() if line.startswith("example: ")]
    python, _m, module, *typed = shlex.split(example)
    assert (python, parse(module, typed)) == ("python", config)
    assert text.split(maxsplit=1)[1].startswith(command.program)
    # an example is on one line, since it is copied
    assert max(len(line) for line in text.splitlines() if not line.startswith("example: ")) <= 120
    for field in fields_of(command.config):
        assert field.flag in text


@pytest.mark.parametrize("name", COMMANDS)
def test_a_pipe_is_refused_before_it_is_opened(name: str, tmp_path: Path) -> None:
    """tests/ofa/reading/test_files.py: so do all readers, of what is named in other ways."""
    pipe = tmp_path / "pipe.toml"  # as a space's file is called
    os.mkfifo(pipe)
    config = COMMANDS[name].parse(shlex.split(COMMANDS[name].example))
    for field in fields_of(type(config)):
        of_files = [mark for mark in field.marks if isinstance(mark, Input) and mark.find is not file_or_name]
        if of_files:
            given = copy(config)
            object.__setattr__(given, field.name, (str(pipe),) if field.is_list else str(pipe))
            with pytest.raises(InputError, match=rf"^{field.flag}:? .*is a device or a pipe: name a file$"):
                _check_kinds(given)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("search", "--table a --table=b c --latency 1 2 --latency=3"),
        ("search", "--table a --seed 1 --seed=2 --together --together=false --out= --confidence=-1"),
        ("search", "--table a --seed 1 --seed=2 --together --together=false --out=o --confidence=-1"),
        ("search", "--table -x"),
        ("search", "--table a --latency -1"),
        ("search", "--table a --lat 1"),
        ("search", "--table a --max_macs 1"),
        ("search", "--table a --no-together"),
        ("search", "--table a --latency.0 1"),
        ("search", "--table a -- b"),
        ("search", "--table a b --method wrong"),
        ("search", "--table a --seed"),
        ("search", "--table a --together maybe"),
        ("search", "--latency 1"),
        ("search", ""),
        ("report", "a b --out c d"),
        ("report", "--out c a --title"),
        ("report", "--out c --title=--out"),
        ("report", "a -- --out"),
        ("report", "a --out x.html --networks b --networks c d"),
    ],
)
def test_a_parser_of_the_named_options_reads_and_says_what_that_of_all_does(name: str, line: str) -> None:
    """Also of words that are repeated, begin with a dash, lack a value or stand for no option."""
    command, words = COMMANDS[name], shlex.split(line)
    fields = fields_of(command.config)

    def outcome(parsed: Callable[[], Any]) -> Any:
        try:
            return parsed()
        except InputError as error:
            return str(error)

    def by_all() -> Any:
        try:
            return command.config(**command._bound(words, fields))
        except CycloptsError as error:
            return _plain(error, words, [field.flag for field in fields])

    assert outcome(lambda: command.parse(words)) == outcome(by_all)


def test_all_programs_are_found() -> None:
    steps = {entry.module for entries in STEPS.values() for entry in entries}
    assert steps | {"ofa", "profilers", "ofa.predictors.compare", "device_agents.android.bundle"} <= set(programs())


@pytest.fixture(params=programs())
def start(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Starts a program with a word, as `python -m` does but in this process; gives its exit code."""
    name: str = request.param

    def started(word: str) -> Any:
        monkeypatch.setattr(sys, "argv", [name, word])
        parent, _, child = name.rpartition(".")
        if parent and hasattr(package := importlib.import_module(parent), child):
            # the module that is started again must not take the place of the one that other tests have
            monkeypatch.setattr(package, child, getattr(package, child))
        for module in (name, f"{name}.__main__"):
            if module not in ("ofa", "profilers"):  # or runpy warns that it is imported already
                monkeypatch.delitem(sys.modules, module, raising=False)
        with pytest.raises(SystemExit) as left:
            runpy.run_module(name, run_name="__main__", alter_sys=True)
        return left.value.code

    return started


def test_the_help_of_every_program_has_an_example(start: Callable[[str], Any], capsys: pytest.CaptureFixture) -> None:
    assert not start("--help")
    text = capsys.readouterr().out
    assert re.search(r"^ *(examples?:|.*Start with: )", text, re.MULTILINE), text


def test_every_program_ends_a_mistake_with_2_and_one_line(
    start: Callable[[str], Any], capsys: pytest.CaptureFixture
) -> None:
    """So that other tests may call `main` and let `ofa.cli.run.run` end it (tests/helpers/programs.py)."""
    assert start("--no-such-option") == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert re.fullmatch(r"(warning: [^\n]+\n)?error: [^\n]+\n", said.err)


@pytest.mark.parametrize("name", COMMANDS)
def test_what_is_written_is_marked_so_that_it_is_looked_at_first(name: str) -> None:
    for field in fields_of(COMMANDS[name].config):
        if field.name == "out":
            assert any(isinstance(mark, Output) for mark in field.marks)
