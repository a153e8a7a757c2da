"""Sides of input images, pixels: which a sub-network may have, and which are meant where none are named.

A supernet runs at any resolution. So resolutions are no part of a space: who draws, measures or predicts says at which.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ofa.errors import InputError
from ofa.reading.numbers import short

LEAST_RESOLUTION, MOST_RESOLUTION = 32, 1024
RESOLUTIONS = tuple(range(128, 225, 4))  # of Cai et al. 2020, section 4.1


def checked_resolution(resolution: Any) -> int:
    """The resolution as pixels; InputError unless it is a whole number from 32 to 1024."""
    number = not isinstance(resolution, (bool, str)) and hasattr(resolution, "__index__")
    if not number and not (isinstance(resolution, float) and resolution.is_integer()):
        raise InputError(f"resolution {short(resolution)} is not a whole number of pixels")
    if not LEAST_RESOLUTION <= resolution <= MOST_RESOLUTION:
        raise InputError(f"resolution {short(resolution)} is not within {LEAST_RESOLUTION} to {MOST_RESOLUTION} pixels")
    return int(resolution)


def checked_resolutions(resolutions: Iterable[int]) -> tuple[int, ...]:
    """Each once, ascending; InputError where there is none, or one is not within 32 to 1024 pixels."""
    found = tuple(sorted({checked_resolution(resolution) for resolution in resolutions}))
    if not found:
        raise InputError("resolutions are empty, expected at least one, 32 to 1024 pixels")
    return found
