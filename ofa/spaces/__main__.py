"""Shows a space: `python -m ofa.spaces NAME|FILE`, `ofa space show`."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from ofa.cli.command import Command
from ofa.cli.console import make_console
from ofa.cli.run import run
from ofa.space import SearchSpace, Unit
from ofa.space.description import space_sha256, to_toml
from ofa.spaces.config import SpaceShowConfig
from ofa.spaces.drawing import ALWAYS, OPTIONAL, choices_in_words, drawing
from ofa.spaces.figures import Figures, figures_of

COMMAND = Command("ofa.spaces", SpaceShowConfig, "mbv3-w1.0")


def main(argv: Sequence[str] | None = None) -> int:
    config = COMMAND.parse(argv)
    space = config.described()
    if config.toml:
        print(to_toml(space), end="")
        return 0
    show(make_console(), space, config.resolutions, figures_of(space, config.resolutions))
    return 0


def show(console: Console, space: SearchSpace, resolutions: Sequence[int], figures: Figures) -> None:
    """All of it, on a console."""
    from rich.box import SIMPLE_HEAD

    source = f", by {space.source}" if space.source else ""
    console.print(f"{space.name}{source}: description {space_sha256(space)}", highlight=False, markup=False)
    table = Table(box=SIMPLE_HEAD)
    for heading in ("part", "operator", "channels", "stride", "activation", "SE", "kernels", "expand ratios", "blocks"):
        table.add_column(heading)
    for row in _rows(space):
        table.add_row(*row)
    console.print(table)
    for line in drawing(space, max(resolutions)):
        console.print(line, highlight=False, markup=False)
    pixels = ", ".join(map(str, resolutions))
    low, high = figures.minutes
    for line in (
        "",
        f"{ALWAYS} a block of every sub-network, {OPTIONAL} one that some leave out",
        f"sub-networks: {figures.subnets:.4g} at {pixels} px",
        f"blocks to measure: {figures.blocks:,}, which takes about {low:.2g} to {high:.2g} minutes: an estimate, by "
        "profiles of one CPU",
        f"MACs: {figures.macs[0] / 1e6:,.4g} to {figures.macs[1] / 1e6:,.4g} million",
        f"parameters: {figures.params[0] / 1e6:,.4g} to {figures.params[1] / 1e6:,.4g} million",
    ):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _rows(space: SearchSpace) -> list[tuple[str, ...]]:
    def channels(listed: Sequence[int]) -> str:
        return " ".join(map(str, listed))

    stem, first, head = space.stem, space.first_block, space.head
    rows: list[tuple[str, ...]] = [("stem", "conv", channels(stem.channels), "2", stem.activation, "", "3", "", "1")]
    if first is not None:
        skip = " + input" if first.skip else ""
        rows.append(("first block", f"mbconv{skip}", str(first.channels), "1", first.activation, "", "3", "1", "1"))
    for u, unit in enumerate(space.units):
        if not unit.num_layers:
            rows.append(
                (
                    "rest of the stem",
                    "conv, max pool",
                    channels(unit.out_channels),
                    "2",
                    unit.activation,
                    "",
                    "3",
                    "",
                    "",
                )
            )
            continue
        rows.append(
            (
                f"unit {u + space.first_unit}",
                unit.op,
                channels(unit.out_channels),
                str(unit.stride),
                unit.activation,
                "yes or no" if unit.squeeze_excite_chosen else "yes" if unit.squeeze_excite else "",
                _kernels(unit),
                choices_in_words(unit.expand_ratios),
                choices_in_words([unit.base_depth + depth for depth in unit.depth_choices]),
            )
        )
    if head.expand:
        rows.append(("head", "conv", str(head.expand), "1", head.activation, "", "1", "", "1"))
    rows.append(("pooling", "global pool", "", "", "", "", "", "", ""))
    if head.mix:
        rows.append(("feature mix", "conv", str(head.mix), "", head.activation, "", "1", "", "1"))
    rows.append(("classifier", "linear", str(space.num_classes), "", "", "", "", "", ""))
    return rows


def _kernels(unit: Unit) -> str:
    inside = choices_in_words(unit.kernel_sizes)
    return inside if unit.start_kernels == (0,) else f"{choices_in_words(unit.start_kernels)} + {inside}"


if __name__ == "__main__":
    run(main)
