"""ImageNet top-1 of published networks: their authors', and those of timm's later recipes, side by side.

top1.csv holds them, with their sources. What a network reaches depends on how it was trained as much as on what it is:
so the two are never mixed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from ofa.errors import InputError
from ofa.published.block_network import BlockNetwork
from ofa.published.networks import PUBLISHED
from ofa.reading.csv_text import read_csv_text
from ofa.reading.numbers import PERCENT, PIXELS, short

FILE = Path(__file__).with_name("top1.csv")
# paper: as the authors state; timm: by later recipes; stated: by whoever made a list of blocks, in its file
Recipe = Literal["paper", "timm", "stated"]
RECIPES: tuple[Recipe, ...] = ("paper", "timm")  # those that were published


@dataclass(frozen=True)
class PublishedTop1:
    """top1: per cent; weights: where it is stated, for timm the name of the weights"""

    name: str
    recipe: Recipe
    resolution: int
    top1: float
    weights: str


@lru_cache(maxsize=1)
def all_published() -> tuple[PublishedTop1, ...]:
    """All that the file holds, in its order."""
    found = []
    for row in read_csv_text(FILE, "published accuracies").rows:
        name, recipe = row.cells["name"], row.cells["recipe"]
        if name not in PUBLISHED or recipe not in RECIPES:
            raise InputError(f"{row.place}: there is no {short(name)} by {short(recipe)}")
        found.append(
            PublishedTop1(
                name=name,
                recipe="paper" if recipe == "paper" else "timm",
                resolution=PIXELS.integer(row.where("resolution"), row.cells["resolution"]),
                top1=PERCENT.decimal(row.where("top1"), row.cells["top1"]),
                weights=row.cells["weights"],
            )
        )
    return tuple(found)


def published_top1(name: str, resolution: int, recipe: Recipe) -> PublishedTop1 | None:
    """The best of a recipe for a network at a resolution; None where none was published."""
    known = [one for one in all_published() if (one.name, one.resolution, one.recipe) == (name, resolution, recipe)]
    return max(known, key=lambda one: one.top1, default=None)


def known_top1(network: BlockNetwork, *, published: bool) -> dict[Recipe, PublishedTop1]:
    """By recipe, what was published of a network at its resolution, or what its file states.

    published: whether it is one of those that are known by name; a file may call itself what it likes
    """
    if published:
        found = {recipe: published_top1(network.name, network.resolution, recipe) for recipe in RECIPES}
        return {recipe: one for recipe, one in found.items() if one is not None}
    if network.top1 is None:
        return {}
    return {"stated": PublishedTop1(network.name, "stated", network.resolution, network.top1, network.source)}


def published_resolutions(name: str) -> tuple[int, ...]:
    """Those at which an accuracy of the network was published, ascending."""
    return tuple(sorted({one.resolution for one in all_published() if one.name == name}))
