"""A command made from its config: the parser, its checks and `--help` all come from the dataclass.

    COMMAND = Command("ofa.predictors.fit", FitConfig, example="--data accuracies.csv")

    def main(argv: Sequence[str] | None = None) -> int:
        result = fit_predictor(COMMAND.parse(argv))
        ...
        return 0

docs/contributing/commands.md tells the whole way. The parser itself is cyclopts'.
"""

from __future__ import annotations

import difflib
import inspect
import io
import operator
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeVar, cast, get_args, get_origin

from ofa.cli.config import Config, Field, Input, Output, fields_of
from ofa.cli.console import make_console
from ofa.errors import InputError, UsageError
from ofa.reading.files import refuse_endless
from ofa.reading.kinds import wrong_kind
from ofa.reading.numbers import plain_decimal, plain_whole, short
from ofa.runs.places import check_writable

if TYPE_CHECKING:
    from cyclopts import App, CycloptsError, Group
    from rich.console import Console

C = TypeVar("C", bound=Config)


@dataclass(frozen=True)
class Command(Generic[C]):
    """module: it runs as `python -m module`; example: arguments that make sense, for the end of the help."""

    module: str
    config: type[C]
    example: str

    @property
    def program(self) -> str:
        return f"python -m {self.module}"

    def parse(self, argv: Sequence[str] | None = None) -> C:
        """The config of a command line, sys.argv's without one.

        UsageError names the option that is wrong. `--help` prints the help and raises SystemExit.
        """
        from cyclopts import CycloptsError

        words, fields = list(sys.argv[1:] if argv is None else argv), fields_of(self.config)
        named = {word.partition("=")[0] for word in words if word.startswith("-")}
        values: dict[str, Any] | None = None
        if named <= {field.flag for field in fields}:  # three times as fast: most commands have dozens of options
            with suppress(CycloptsError):
                values = self._bound(words, [f for f in fields if f.flag in named or f.required or f.option.positional])
        try:
            values = self._bound(words, fields) if values is None else values
        except CycloptsError as error:
            raise UsageError(_plain(error, words, [f.flag for f in fields])) from None
        for field in fields:
            if field.is_list and values.get(field.name) == () and field.flag in words:
                raise UsageError(f"{field.flag} needs at least one value")
        config = self.config(**values)
        _check_outputs(config)
        _check_kinds(config)
        return config

    def help(self) -> str:
        """The text of `--help`, without colours."""
        app, _ = self._app(fields_of(self.config), with_help=True)
        text = io.StringIO()
        console = make_console(text)
        app.help_print([], console=console)
        self._print_example(console)
        return text.getvalue()

    def _print_example(self, console: Console) -> None:
        """On one line, however long: what is copied off a terminal has no line ends that were not typed."""
        line = f"\nexample: {self.program} {self.example}"
        console.print(line, highlight=False, markup=False, soft_wrap=True)

    def _bound(self, words: Sequence[str], fields: Sequence[Field]) -> dict[str, Any]:
        """Values of fields by a parser that knows those alone. Raises CycloptsError; SystemExit after the help."""
        app, target = self._app(fields, with_help=bool({"--help", "-h"} & set(words)))
        function, bound, _ = app.parse_args(words, exit_on_error=False, print_error=False)
        if function is not target:  # the help
            function(*bound.args, **bound.kwargs)
            self._print_example(make_console())
            raise SystemExit(0)
        return dict(bound.arguments)

    def _app(self, fields: Sequence[Field], *, with_help: bool) -> tuple[App, Callable[..., None]]:
        """The parser, and what it returns when it has parsed a config. Without the help it starts sooner."""
        from cyclopts import App, Group, Parameter

        app = App(
            name=self.program,
            help=inspect.cleandoc(self.config.__doc__ or ""),
            help_format="plaintext",
            version_flags=(),
            console=make_console(),
            default_parameter=Parameter(negative=()),
        )
        app["--help"].show = False

        def target(**values: Any) -> None:
            """Stands for the config while the words are bound to its fields."""

        docs = docs_of(self.config) if with_help else {}
        # cyclopts reads a function's signature
        panels: dict[str, Group] = {}
        for field in fields:
            panels.setdefault(field.panel, Group(field.panel, sort_key=len(panels)))
        parameters = [_parameter(f, panels[f.panel], docs.get(f.name, "")) for f in fields]
        signature = inspect.Signature(sorted(parameters, key=lambda p: p.kind))
        vars(target).update(__signature__=signature)
        target.__annotations__ = {name: p.annotation for name, p in signature.parameters.items()}
        app.default(target)
        return app, target


def _check_outputs(config: Config) -> None:
    """InputError where what is to be written could not be, or would replace a file that is read or written too."""
    others: dict[Path, str] = {}
    for field in fields_of(type(config)):
        for mark in field.marks:
            value = getattr(config, field.name)
            if isinstance(mark, Output) and value is not None:
                check_writable(Path(value), folder=mark.folder, name=field.flag)
                for flag, _, path in _inputs(config):
                    if _same_file(path, Path(value)):
                        raise UsageError(f"{field.flag} is {value}, the file that {flag} names: name another")
                if (other := others.setdefault(Path(os.path.realpath(value)), field.flag)) != field.flag:
                    raise UsageError(f"{field.flag} is {value}, the file that {other} names: name another")


def _same_file(one: Path, other: Path) -> bool:
    """Whether both name one file that there is, by whatever path or link."""
    try:
        return one.is_file() and one.samefile(other)
    except OSError:  # one is not there, or has a name that is too long
        return False


def _check_kinds(config: Config) -> None:
    """InputError where a file is of another kind than its option wants, or is none that ends."""
    for flag, mark, path in _inputs(config):
        refuse_endless(path, flag)
        if wrong := wrong_kind(path, mark.kinds):
            raise InputError(f"{flag}: {path} {wrong}")


def check_inputs(config: Config) -> None:
    """InputError where what is to be read is not there: asked before what takes seconds to import."""
    for _, mark, path in _inputs(config):
        if not path.exists():
            raise InputError(f"{path}: no such {'folder or zip' if mark.images else 'file or folder'}")


def _inputs(config: Config) -> Iterator[tuple[str, Input, Path]]:
    """What is to be read: the option, its mark, and the file; names that stand for no file are passed over."""
    for field in fields_of(type(config)):
        value = getattr(config, field.name)
        for mark in field.marks:
            for item in (value if isinstance(value, tuple) else (value,)) if isinstance(mark, Input) else ():
                path = item
                if mark.find is not None and item is not None:
                    try:
                        path = mark.find(item)
                    except InputError:
                        continue  # whoever reads it says so
                if path is not None:
                    yield field.flag, mark, Path(path)


def choose(program: str, commands: Mapping[str, Command[Any]], argv: Sequence[str] | None = None) -> Any:
    """The config of a program with several commands; options may stand before the command's name as well.

    UsageError where no command, or an unknown one, is named; `--help` in place of a command lists them, and examples.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    place = 0
    while place < len(words) and words[place].startswith("--") and words[place] != "--help":
        place += 1 if "=" in words[place] else 2  # an option and its value
    name = words[place] if place < len(words) else ""
    if name in ("--help", "-h"):
        lines = [f"  {name:10} {_first_line(command.config)}" for name, command in commands.items()]
        examples = [f"  {program} {name} {command.example}" for name, command in commands.items()]
        text = [f"Usage: {program} COMMAND ...", "", *lines, "", "examples:", *examples]
        make_console().print("\n".join(text), highlight=False, markup=False, soft_wrap=True)
        raise SystemExit(0)
    if name not in commands:
        what = f"unknown command {name!r}" if name else "no command"
        raise UsageError(f"{what}, expected one of {', '.join(commands)}{did_you_mean(name, commands)}")
    return commands[name].parse([*words[:place], *words[place + 1 :]])


def did_you_mean(name: str, known: Sequence[str] | Mapping[str, Any]) -> str:
    """The end of a message about an unknown name; empty where nothing is like it."""
    close = difflib.get_close_matches(name, list(known), 1)
    return f": did you mean {close[0]}?" if close else ""


def _first_line(config: type[Config]) -> str:
    return inspect.cleandoc(config.__doc__ or "").split("\n", 1)[0]


def _plain(error: CycloptsError, words: Sequence[str], flags: Sequence[str]) -> str:
    """What is wrong, on one line, with what a terminal would act on escaped. flags: that there are"""
    from cyclopts import MissingArgumentError, UnusedCliTokensError

    text = str(error)
    if isinstance(error.__cause__, UsageError):  # our own converters'
        text = str(error.__cause__)
    elif isinstance(error, MissingArgumentError) and error.argument is not None:
        name = error.argument.name
        unknown = [word for word in words if word.startswith("-") and word.partition("=")[0] not in flags]
        (close, *_) = [*difflib.get_close_matches(name, unknown, 1), ""]
        text = f"{name} is needed" if not close else f"unknown option {close}: did you mean {name}?"
        if name in words and "--" not in words:  # behind that, nothing is an option
            text = f"{name} needs a value"
    elif isinstance(error, UnusedCliTokensError):
        text = f"unexpected {' '.join(error.unused_tokens or [])!r}: no option takes it"
    elif (file := next((w for w in words if w[:1] == "-" and w not in flags and os.path.lexists(w)), None)) is not None:
        text = f"{file} is taken for an option: if the file is meant, write {os.path.join('.', file)}"  # noqa: PTH118
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text).rstrip(".")


def _parameter(field: Field, panel: Group, words: str) -> inspect.Parameter:
    from cyclopts import Parameter

    nothing = field.required or field.default is None or field.default is False or field.default == ()
    described = Parameter(
        name=None if field.option.positional else field.flag,
        help=words,
        group=panel,
        metavar=field.option.metavar or None,
        converter=_converter(field),
        n_tokens=1 if field.option.parse else None,
        json_list=False,  # "[1]" may be a file's name
        json_dict=False,
        consume_multiple=not field.option.each if field.is_list else None,
        # of a repeated option the last counts, so that a script's user can add to its options; lists extend
        allow_repeating=None if get_origin(field.bare) is tuple else True,
        show_default=False if nothing else lambda value: _spelled(field, value),
        negative=(),
    )
    kind = inspect.Parameter.POSITIONAL_ONLY if field.option.positional else inspect.Parameter.KEYWORD_ONLY
    default = inspect.Parameter.empty if field.required else field.default
    hint = operator.getitem(Annotated, (field.hint, described))
    return inspect.Parameter(field.name, kind, default=default, annotation=hint)


def _spelled(field: Field, value: Any) -> str:
    """A default as one would type it."""
    if isinstance(value, tuple):
        return (" " if field.is_list else ",").join(map(str, value))
    return str(value)


def _decimal(word: str) -> float | None:
    """What is not finite is read, so that it is refused with the bounds of its option."""
    return float(word) if word in ("nan", "inf", "-inf") else plain_decimal(word)


def _converter(field: Field) -> Callable[[Any, Sequence[Any]], Any] | None:
    """Where cyclopts' own conversion is not wanted: what a parser makes of one word, and numbers (it rounds 3.7).

    Names of files stay text, which the config looks at: of an empty one, a path would be this folder.
    """
    kind: type = get_args(field.bare)[0] if field.is_list else field.bare
    if field.option.parse is None and kind not in (int, float) and not field.names_files:
        return None

    def converted(_hint: Any, words: Sequence[Any]) -> Any:
        if field.option.parse is not None and (words[-1].value.strip() or not field.names_files):
            if len(words) > 1 and get_origin(field.bare) is tuple:
                raise UsageError(f"{field.flag} is given twice: give one list, or leave one out")
            try:
                return field.option.parse(words[-1].value)
            except ValueError as error:
                raise UsageError(f"{field.flag}: {error}") from None
        if field.names_files:
            return tuple(word.value for word in words) if field.is_list else words[-1].value
        numbers: list[float] = []
        for word in words:
            value = plain_whole(word.value) if kind is int else _decimal(word.value)
            if value is None:
                expected = "a whole number" if kind is int else "a number"
                raise UsageError(f"{field.flag} is {short(word.value)}, expected {expected}")
            numbers.append(value)
        return tuple(numbers) if field.is_list else numbers[-1]

    return converted


def docs_of(config: type[Config]) -> dict[str, str]:
    """The docstring under every field, on one line each, by name; a subclass's own words win."""
    docs: dict[str, str] = {}
    for shared in reversed(config.__mro__):
        if issubclass(shared, Config):
            docs |= _docs_in(cast(Any, shared))
    return docs


@cache  # many commands share a class
def _docs_in(config: Any) -> dict[str, str]:
    """The same of what stands in the class itself."""
    from docstring_parser import parse_from_object

    return {param.arg_name: " ".join((param.description or "").split()) for param in parse_from_object(config).params}
