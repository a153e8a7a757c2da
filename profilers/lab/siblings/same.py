"""What tables of several devices must have in common before they are compared: how they were measured, not when."""

from __future__ import annotations

from collections.abc import Mapping

from ofa.errors import InputError
from ofa.reading.numbers import short
from ofa.space.description import DESCRIPTION, HASH
from ofa.tables import LatencyTable
from profilers.changes.comparison import SAME

# what a header that says nothing means
_UNSTATED = {"emulated": "no", "timing": "warm", "pinned": "yes", "batch": "1"}
# in the order in which a difference is named: what a user is likeliest to have mixed up comes first
FACTS = (
    *("provenance", "emulated", *SAME, HASH, DESCRIPTION, "resolutions", "timing"),
    *("architecture", "agent", "tool", "cores", "pinned", "fixed_performance_mode", "limit", "omits"),
)
# the table of several devices says so, and how many and which, by this key
MERGED = "merged"
_CLASSES = "classes"


def settings_of(table: LatencyTable) -> dict[str, str]:
    """The facts that must be the same; "not stated" where a header says nothing."""
    header = table.header
    facts = {key: header.get(key, _UNSTATED.get(key, "not stated")) for key in FACTS}
    # which clocks a phone's mode held is no setting
    facts["fixed_performance_mode"] = facts["fixed_performance_mode"].split(",")[0]
    if not header.get("soc"):
        facts["device"] = table.device
    if table.stated_classes is not None:  # the classifier may have failed
        facts[_CLASSES] = str(table.stated_classes)
    facts["constant"] = "stated" if table.sum_correction.constant else "not stated"
    return facts


def check_same(first: str, wanted: Mapping[str, str], other: str, found: Mapping[str, str]) -> None:
    """InputError names the first fact in which two tables differ. first, other: their files"""
    for key in {**wanted, **found}:
        if key == _CLASSES and not (key in wanted and key in found):
            continue
        was, now = wanted.get(key, "not stated"), found.get(key, "not stated")
        if was != now:
            raise InputError(
                f"{other}: {key} is {short(now)}, in {first} it is {short(was)}: only tables that were measured alike "
                "tell whether their devices are; leave one out, or measure it again like the other"
            )


def check_measured(table: LatencyTable) -> None:
    """InputError for a table that is not of one device's own measurements."""
    if table.provenance != "measured":
        raise InputError(f"{table.path}: is {table.provenance}, only measured tables tell how alike devices are")
    if MERGED in table.header:
        raise InputError(f"{table.path}: is of several devices already: name the tables that it was made of")
