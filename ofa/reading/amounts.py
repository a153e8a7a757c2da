"""A latency or an energy in words: of several images at once it must not read like that of one."""

from __future__ import annotations


def amount(value: float, unit: str, batch: int, form: str = "g") -> str:
    """ "3 ms"; of several images at once "30 ms for 64 images (0.469 an image)". form: of the figure itself."""
    return f"{value:{form}} {unit}{of_batch(batch)}" + (f" ({value / batch:.3g} an image)" if batch > 1 else "")


def of_batch(batch: int) -> str:
    """What follows a unit: nothing for one image, else " for 64 images"."""
    return "" if batch == 1 else f" for {batch} images"
