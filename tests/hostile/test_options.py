"""What is typed as a number: read as people write it, within what anyone means, or refused in one line."""

import importlib
import importlib.util
import shlex
from collections.abc import Iterator
from typing import Any, get_args, get_origin

import pytest

from ofa.cli.command import Command
from ofa.cli.config import Field, fields_of
from ofa.cli.overview import STEPS
from ofa.errors import UsageError

NO_NUMBER = [
    "nan",
    "inf",
    "-inf",
    "1_0",
    "\uff11\uff10",
    "\u00b2",
    "9" * 5000,
    "0x10",
    "1e999",
    "",
    " 5",
    "5\x1b[31m",
    "x" * 900,
    "9" * 30,
]
# figures that were taken, and kept a machine busy for days
ISSUE = {
    "seed": "-1", "timeout": "inf", "weight_decay": "nan", "rounds": "1000000000", "workers": "5000",
    "hidden": "1000000000", "members": "1000000", "threads": "1000000", "batch_size": "1000000000",
    "epochs": "1000000000",
}  # fmt: skip


def commands() -> Iterator[tuple[str, Command[Any]]]:
    for entries in STEPS.values():
        for entry in entries:
            spec = importlib.util.find_spec(entry.module)
            assert spec is not None
            name = entry.module + (".__main__" if spec.submodule_search_locations is not None else "")
            module = importlib.import_module(name)
            for command in getattr(module, "COMMANDS", {"": getattr(module, "COMMAND", None)}).values():
                yield entry.name, command


def numeric(command: Command[Any]) -> list[Field]:
    found = []
    for field in fields_of(command.config):
        kind = get_args(field.bare)[0] if get_origin(field.bare) is tuple else field.bare
        if kind in (int, float):
            found.append(field)
    return found


ALL = list(commands())


@pytest.mark.parametrize(("name", "command"), ALL, ids=[name for name, _ in ALL])
def test_no_option_takes_what_is_no_number(name: str, command: Command[Any]) -> None:
    given = shlex.split(command.example)
    for i, field in enumerate(numeric(command)):
        # every option is given one of them: all options together get all
        text = NO_NUMBER[i % len(NO_NUMBER)]
        with pytest.raises(UsageError) as refused:
            command.parse([*given, f"{field.flag}={text}"])
        assert str(refused.value).isprintable()
        assert len(str(refused.value)) < 400
        assert field.flag in str(refused.value), (name, text)


@pytest.mark.parametrize(("name", "command"), ALL, ids=[name for name, _ in ALL])
def test_no_option_takes_what_is_below_all_sense(name: str, command: Command[Any]) -> None:
    """The option is named, and not only what it means to a search or a training."""
    given = shlex.split(command.example)
    for field in numeric(command):
        if field.option.parse is None:
            with pytest.raises(UsageError) as refused:
                command.parse([*given, f"{field.flag}=-7"])
            assert str(refused.value).startswith(f"{field.flag} is -7"), (name, str(refused.value))


@pytest.mark.parametrize("option", ISSUE)
def test_no_slip_of_the_hand_starts_a_week_of_work(option: str) -> None:
    tried = 0
    for _, command in ALL:
        for field in numeric(command):
            if field.name == option:
                tried += 1
                with pytest.raises(UsageError, match=field.flag):
                    command.parse([*shlex.split(command.example), f"{field.flag}={ISSUE[option]}"])
    assert tried


def test_a_config_made_in_python_is_held_to_the_same() -> None:
    from ofa.predictors.fit.config import FitConfig

    for wrong in (
        {"members": 10**9},
        {"members": 2.5},
        {"members": True},
        {"seed": 10**40},
        {"weight_decay": float("nan")},
    ):
        with pytest.raises(UsageError, match=r"^--(members|seed|weight-decay) is .{1,60}, expected"):
            FitConfig(data=("a.csv",), out="p.safetensors", space="mbv3-w1.0", **wrong)
