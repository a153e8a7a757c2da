"""How far a run has come, in one file of its folder: what is done, and with which sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, get_type_hints

from ofa.errors import InputError
from ofa.quickstart.photos import PhotoCounts
from ofa.quickstart.plan import SIZES, STEPS, QuickstartPlan
from ofa.quickstart.speed import Speed
from ofa.reading.numbers import Bounds
from ofa.reading.structured import read_json
from ofa.runs.files import write_json
from ofa.runs.settings import first_difference, shown

SCHEMA = "ofa-quickstart/1"
SECONDS, TAKEN, AMOUNT = Bounds(1e-9, 1e9, "seconds"), Bounds(0, 1e9, "seconds"), Bounds(1, 1e9, "of them")


@dataclass(frozen=True)
class QuickstartState:
    """What a run is, and how far it has come.

    settings: what identifies it; photos, speed, plan: what it rests on
    done: seconds that each finished step took, those of its earlier attempts not counted
    begun: steps that were begun: they may have left something to continue
    failed: steps that failed and were not needed
    """

    settings: Mapping[str, Any]
    photos: PhotoCounts
    speed: Speed
    plan: QuickstartPlan
    done: Mapping[str, float] = field(default_factory=dict)
    begun: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()

    def beginning(self, step: str) -> QuickstartState:
        """With a step that is begun."""
        return replace(self, begun=tuple(dict.fromkeys([*self.begun, step])))

    def ended(self, step: str, seconds: float, *, well: bool) -> QuickstartState:
        """With a step that has ended, well or not."""
        failed = tuple(name for name in self.failed if name != step)
        return replace(self, done={**self.done, step: round(seconds, 1)}, failed=failed if well else (*failed, step))

    def without(self, steps: tuple[str, ...]) -> QuickstartState:
        """As if these steps had not been run, though they may have left something."""
        return replace(
            self,
            done={name: seconds for name, seconds in self.done.items() if name not in steps},
            failed=tuple(name for name in self.failed if name not in steps),
        )

    def save(self, path: Path) -> None:
        """Writes it; the file is there whole or as it was."""
        plan = {**asdict(self.plan), "size": SIZES.index(self.plan.size)}
        write_json(path, {"schema": SCHEMA, **asdict(self), "plan": plan})


def _sound(kind: type, fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """The fields of a dataclass; ValueError where a number is none or not positive, or a choice no true or false."""
    for name, hint in get_type_hints(kind).items():
        value = fields[name]
        if hint is bool and not isinstance(value, bool):
            raise ValueError(name)
        if hint is float:
            SECONDS.check(name, value)
        if hint is int or (hint == int | None and value is not None):
            AMOUNT.whole(name, value)
    return fields


def read_state(path: Path, settings: Mapping[str, Any]) -> QuickstartState:
    """What a run wrote; InputError where it is damaged, or of other settings."""
    content = read_json(path)
    if content.get("schema") != SCHEMA:
        raise InputError(f"{path} is not a state file of ofa.quickstart: name another --out")
    if (different := first_difference(content.get("settings"), dict(settings))) is not None:
        name, was, now = different
        raise InputError(
            f"{path} was begun with {name} = {shown(was)}, but this run has {shown(now)}: give the same, or another "
            "--out"
        )
    try:
        photos, plan = dict(content["photos"]), dict(content["plan"])
        done, begun, failed = content["done"], content["begun"], content["failed"]
        state = QuickstartState(
            settings,
            PhotoCounts(**{**_sound(PhotoCounts, photos), "lines": tuple(photos["lines"])}),
            Speed(**_sound(Speed, {"threads": None, **content["speed"]})),
            QuickstartPlan(**{**_sound(QuickstartPlan, plan), "size": SIZES[range(len(SIZES))[plan["size"]]]}),
            {name: TAKEN.check(name, seconds) for name, seconds in done.items()},
            tuple(begun),
            tuple(failed),
        )
        if not {*state.done, *state.begun, *state.failed} <= set(STEPS):
            raise ValueError("unknown step")
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise InputError(f"{path} is damaged ({type(error).__name__}): name another --out") from None
    return state
