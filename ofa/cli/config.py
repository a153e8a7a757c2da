"""A command's settings as a value: what every config is, what annotations can say, where bounds are checked.

    @dataclass(frozen=True, kw_only=True)
    class FitConfig(Config):
        \"\"\"Fit a predictor to measured accuracies.\"\"\"

        data: Annotated[tuple[Path, ...], Input(), Option(metavar="CSV")]
        \"\"\"accuracies of sub-networks, by ofa.predictors.collect\"\"\"

        epochs: Annotated[int, AtLeast(1)] = 100
        \"\"\"passes over the data\"\"\"

The docstring under a field is its help, the default its default, the annotation its parser and its bounds. The same
config is the Python API, the command line (`ofa.cli.command`) and what identifies a run (`ofa.runs.settings`).
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import math
import types
import typing
from collections.abc import Callable, Iterable
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Protocol, get_args, get_origin, runtime_checkable

from ofa.cli.plausible import kind_fault, size_fault
from ofa.errors import UsageError
from ofa.reading.numbers import short


@runtime_checkable
class Bound(Protocol):
    """A mark that limits a field's value; of a list, every item."""

    def fault(self, value: Any) -> str | None:
        """What was expected instead, None if the value is fine."""
        ...


@dataclass(frozen=True)
class AtLeast:
    """why: what a smaller number would do, for the message"""

    least: float
    why: str = ""

    def fault(self, value: Any) -> str | None:
        because = f": {self.why}" if self.why else ""
        return None if self.least <= value < math.inf else f"expected at least {self.least:g}{because}"


@dataclass(frozen=True)
class Above:
    """More than this number, and finite."""

    limit: float

    def fault(self, value: Any) -> str | None:
        return None if self.limit < value < math.inf else f"expected a number above {self.limit:g}"


@dataclass(frozen=True)
class Between:
    """From `least` to `most`, both included. what: such as "a share" """

    least: float
    most: float
    what: str = "a number"

    def fault(self, value: Any) -> str | None:
        fine = self.least <= value <= self.most
        return None if fine else f"expected {self.what} from {self.least:g} to {self.most:g}"


@dataclass(frozen=True)
class Part:
    """A share that may be all but the whole: 0 or more, less than 1."""

    def fault(self, value: float) -> str | None:
        return None if 0 <= value < 1 else "expected 0 or more, less than 1"


@dataclass(frozen=True)
class Share:
    """More than nothing, at most the whole."""

    def fault(self, value: float) -> str | None:
        return None if 0 < value <= 1 else "expected more than 0, at most 1"


@dataclass(frozen=True)
class Option:
    """How a field is spelled on the command line.

    metavar: stands for the value in the help, such as MS
    parse: makes the value of one word; its ValueError says what is wrong with it
    positional: the value stands without the field's name, which is its metavar
    each: of a list, one word after the option, which is repeated for more: what follows is not taken for another
    """

    metavar: str = ""
    parse: Callable[[str], Any] | None = None
    positional: bool = False
    each: bool = False


@dataclass(frozen=True)
class Input:
    """The field names what is read. Its content identifies a run, not its name or place.

    find: the path that a name stands for, such as a shipped table's
    images: a folder or ZIP of images: names, sizes and contents, of a folder those of 1 GiB; of a ZIP its checksums
    beside: the ending of a second file that is read with it, such as a predictor's .json
    kinds: which it may be, of those of `ofa.reading.kinds`: another is refused by what it is
    content: what identifies it in place of its bytes, as JSON, where its notation does not matter
    """

    find: Callable[[str], Path | None] | None = None
    images: bool = False
    beside: str = ""
    kinds: tuple[str, ...] = ()
    content: Callable[[Path], Any] | None = None


@dataclass(frozen=True)
class Free:
    """The field may change when a run is resumed: where it writes, how fast it works, what it shows."""


@dataclass(frozen=True)
class Output(Free):
    """The field names what is written: the command line looks, before the work, whether it can be.

    folder: a folder of files
    """

    folder: bool = False


@dataclass(frozen=True, kw_only=True)
class Config:
    """Base of every command's config, and of the options that several share. InputError names a wrong value.

    PANEL: the heading of the class's own fields in the help
    """

    PANEL: ClassVar[str] = "Options"

    def __post_init__(self) -> None:
        """A config with rules between fields calls this first, then checks them."""
        for field in fields_of(type(self)):
            _check_names(field, getattr(self, field.name))
            value = _as_declared(field, getattr(self, field.name))
            object.__setattr__(self, field.name, value)
            for item in value if isinstance(value, tuple) else (value,):
                if item is not None and (fault := field.fault(item)):
                    raise UsageError(f"{field.flag} is {short(item)}, {fault}")

    def at_most_one(self, *names: str) -> None:
        """UsageError if more than one of these fields is given: neither None, nor False, nor an empty list."""
        given = [name for name in names if self._is_given(name)]
        if len(given) > 1:
            raise UsageError(f"{flag_of(given[1])} is not allowed with {flag_of(given[0])}: leave one out")

    def exactly_one(self, *names: str) -> None:
        """UsageError unless one of these fields is given, and no more."""
        self.at_most_one(*names)
        if not any(self._is_given(name) for name in names):
            raise UsageError(f"one of {', '.join(map(flag_of, names))} is needed")

    def _is_given(self, name: str) -> bool:
        value = getattr(self, name)
        return value is not None and value is not False and value != ()


@dataclass(frozen=True)
class Field:
    """One field of a config.

    flag: as on the command line; "ID" for a positional one
    hint: its type without the marks; marks: everything else that the annotation says
    default: dataclasses.MISSING where there is none
    owner: the class that introduced it, whose PANEL it stands under
    """

    name: str
    flag: str
    hint: Any
    marks: tuple[Any, ...]
    default: Any
    owner: type[Config]

    @property
    def option(self) -> Option:
        return next((mark for mark in self.marks if isinstance(mark, Option)), Option())

    @property
    def panel(self) -> str:
        """The heading it stands under in the help: the owner's own, which its subclasses' fields do not share."""
        return str(vars(self.owner).get("PANEL", Config.PANEL))

    @property
    def required(self) -> bool:
        return self.default is MISSING

    @property
    def bare(self) -> Any:
        """The type of a value that is given: without None."""
        if get_origin(self.hint) in (typing.Union, types.UnionType):
            (bare,) = (part for part in get_args(self.hint) if part is not type(None))
            return bare
        return self.hint

    @property
    def is_list(self) -> bool:
        """Whether it takes several words: a tuple of any length that no parser makes of one word."""
        return get_origin(self.bare) is tuple and self.option.parse is None

    @property
    def names_files(self) -> bool:
        """Whether its text is the name of a file, of a folder, or of what is there by a name."""
        of_paths = Path in (self.bare, *get_args(self.bare))
        return of_paths or self.option.positional or any(isinstance(mark, Input | Output) for mark in self.marks)

    def fault(self, item: Any) -> str | None:
        """What was expected of a value, or of an item of a list, instead; None if it is fine."""
        kind = get_args(self.bare)[0] if get_origin(self.bare) is tuple else self.bare
        if get_origin(kind) is Literal and item not in get_args(kind):
            return f"expected one of {', '.join(map(str, get_args(kind)))}"
        if kind in (int, float) and (fault := kind_fault(kind, item)):
            return fault
        marked = next((fault for mark in self.marks if isinstance(mark, Bound) and (fault := mark.fault(item))), None)
        return size_fault(self.name, item) if marked is None and kind in (int, float) else marked


def _check_names(field: Field, value: Any) -> None:
    """UsageError where a name is empty, as of a shell's variable that is not set: as a path it would be this folder."""
    for item in value if isinstance(value, list | tuple) else (value,):
        if isinstance(item, str) and not item.strip() and field.names_files:
            raise UsageError(f"{field.flag} is {short(item)}, expected a name (is a variable of the shell not set?)")


def _as_declared(field: Field, value: Any) -> Any:
    """Paths may be given as text, and lists as lists: from Python that is what comes to hand."""
    if get_origin(field.bare) is tuple:
        if isinstance(value, str):
            raise UsageError(f"{field.flag} is {short(value)}, expected a list of them")
        if isinstance(value, Iterable):
            of_paths = get_args(field.bare)[0] is Path
            return tuple(Path(item) if of_paths else item for item in value)
    return Path(value) if field.bare is Path and isinstance(value, str) else value


def flag_of(name: str) -> str:
    """ "batch_size" as it is spelled on the command line; "from_" is a Python keyword's."""
    return "--" + name.rstrip("_").replace("_", "-")


def fields_of(config: type[Config]) -> tuple[Field, ...]:
    """Every field of a config class: its own first, then those of the options it shares."""
    return _fields_of(typing.cast(Any, config))


@functools.cache  # a command asks for them half a dozen times
def _fields_of(config: Any) -> tuple[Field, ...]:
    hints = typing.get_type_hints(config, include_extras=True)
    found = []
    for field in dataclasses.fields(config):
        hint, marks = hints[field.name], list[Any]()
        if get_origin(hint) is Annotated:
            hint, *marks = get_args(hint)
        owner = [c for c in config.__mro__ if field.name in inspect.get_annotations(c)][-1]
        default = field.default if field.default_factory is MISSING else field.default_factory()
        option = next((mark for mark in marks if isinstance(mark, Option)), Option())
        flag = field.name.upper() if option.positional else flag_of(field.name)
        found.append(Field(field.name, flag, hint, tuple(marks), default, owner))
    order = [c for c in config.__mro__ if c is not config]
    return tuple(sorted(found, key=lambda f: -1 if f.owner is config else order.index(f.owner)))
