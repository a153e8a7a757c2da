"""Options that several commands share."""

from __future__ import annotations

import argparse


def resolutions(text: str) -> tuple[int, ...]:
    """An argparse type: "160,192" or "128:224:4" (first:last:step, the last included), or both, ascending."""
    found: set[int] = set()
    for part in text.split(","):
        try:
            numbers = [int(number) for number in part.split(":")]
        except ValueError:
            numbers = []
        if len(numbers) == 1:
            found.add(numbers[0])
        elif len(numbers) == 3 and numbers[2] > 0 and numbers[0] <= numbers[1]:
            found.update(range(numbers[0], numbers[1] + 1, numbers[2]))
        else:
            raise argparse.ArgumentTypeError(f"{text!r} is not a list such as 160,192,224 or 128:224:4")
    return tuple(sorted(found))
