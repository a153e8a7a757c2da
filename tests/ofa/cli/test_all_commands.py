"""Every command that is made from a config: documented, with an example that parses, and of an identity."""

import importlib
import importlib.util
import shlex
from pathlib import Path
from typing import Any, get_args

import pytest

from ofa.cli.command import Command, docs_of
from ofa.cli.config import Free, Input, fields_of
from ofa.cli.overview import STEPS


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
    return found


COMMANDS = commands()


def test_they_are_found() -> None:
    assert {"search", "zoo list", "zoo fetch"} <= set(COMMANDS)


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
def test_the_example_parses_and_the_help_fits(name: str) -> None:
    command = COMMANDS[name]
    assert isinstance(command.parse(shlex.split(command.example)), command.config)
    text = command.help()
    assert command.example.split()[0] in text
    assert max(map(len, text.splitlines())) <= 120
    for field in fields_of(command.config):
        assert field.flag in text
