"""`python -m ofa.costs`: what networks cost, block by block: multiply-accumulates, parameters, memory, latency."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from ofa.cli.command import Command
from ofa.cli.config import Config, Input, Option, Output
from ofa.cli.console import make_console, spelled
from ofa.cli.options import OptionalCount
from ofa.cli.run import run
from ofa.errors import InputError, UsageError
from ofa.reading.kinds import RESULT, SUBNET, TABLE, kind_of
from ofa.runs.places import check_replaced
from ofa.tables.shipped import find_table

if TYPE_CHECKING:
    from rich.console import Console

    from ofa.published.block_network import BlockNetwork
    from ofa.tables import LatencyTable
    from ofa.tables.lookup import BlockSum


@dataclass(frozen=True, kw_only=True)
class CostsConfig(Config):
    """Show what networks cost: multiply-accumulates, parameters, memory, and the sum of a latency table's blocks.

    A network is a name such as mobilenet_v2, a JSON list of blocks, a net.config of the original, a network.json, or a
    result.json of ofa.search. Without any, all names are listed. One network is shown block by block.

    exit codes: 0, 1 the table lacks blocks of a network, 2 wrong input
    """

    networks: Annotated[tuple[str, ...], Option(metavar="NETWORK", positional=True)] = ()
    """names or files"""

    table: Annotated[str | None, Input(find=find_table, kinds=(TABLE,)), Option(metavar="T")] = None
    """a latency table: a CSV or a shipped name such as note10"""

    resolution: OptionalCount = None
    """side of the images in pixels (default: the network's own)"""

    num_classes: OptionalCount = None
    """number of classes of the classifier (default: the network's own)"""

    blocks: bool = False
    """show several networks block by block, too"""

    out: Annotated[Path | None, Output(), Option(metavar="FILE")] = None
    """also write one network as a JSON list of blocks, to be edited and given in place of a name"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.out is not None and (len(self.networks) != 1 or self.out.suffix != ".json"):
            raise UsageError(f"--out is {self.out}: it is for one network, and a file that ends in .json")


@dataclass(frozen=True, eq=False)
class NetworkCosts:
    """A network, and what a table says of its blocks, if one was asked. asked: what the network was called"""

    network: BlockNetwork
    sum: BlockSum | None
    asked: str

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        network = self.network
        latency = {} if self.sum is None else {"latency_ms": self.sum.latency_ms}
        return {
            "name": network.name,
            "resolution": network.resolution,
            "macs": network.macs,
            "params": network.params,
            "peak_bytes": 4 * network.peak_elements,
            **latency,
        }


COMMAND = Command("ofa.costs", CostsConfig, "mobilenet_v2 my-network.json --table note10")


def main(argv: Sequence[str] | None = None) -> int:
    config = COMMAND.parse(argv)
    from ofa.published import NAMED
    from ofa.tables import LatencyTable

    if config.out is not None:
        check_replaced(config.out, {"format", "blocks"}, "a list of blocks that ofa.costs wrote")
    console = make_console()
    table = LatencyTable.load(find_table(config.table)) if config.table else None
    found = network_costs(config, table)
    show_summary(console, found, table)
    if not config.networks:
        console.print(f"{len(NAMED)} networks; JSON lists of blocks and fbnet: with 22 choices are taken too")
        return 0
    if len(found) == 1 or config.blocks:
        for one in found:
            show_blocks(console, one)
    if config.out is not None:
        from ofa.published.block_list import block_list
        from ofa.runs.files import write_json

        write_json(config.out, block_list(found[0].network))
        console.print(f"wrote {config.out}: {len(found[0].network.blocks)} blocks", soft_wrap=True)
    return _say_missing(console, found, table)


def network_costs(config: CostsConfig, table: LatencyTable | None) -> list[NetworkCosts]:
    """Of every network that the config names, all names without any. InputError names what cannot be read."""
    from ofa.published import NAMED
    from ofa.tables.lookup import sum_of_blocks

    return [
        NetworkCosts(one, None if table is None else sum_of_blocks(table, one.blocks), text)
        for text in config.networks or NAMED
        for one in networks_of(text, config)
    ]


def networks_of(text: str, config: CostsConfig) -> list[BlockNetwork]:
    """The network that a text names, or those of a search's result."""
    from ofa.published.opening import open_network

    path = Path(text)
    if path.suffix == ".json" and path.is_file() and kind_of(path) in (RESULT, SUBNET):
        return _of_search(path, config)
    return [open_network(text, config.resolution, config.num_classes)]


def _of_search(path: Path, config: CostsConfig) -> list[BlockNetwork]:
    """The sub-networks that a file of ofa.search names."""
    from ofa.blocks import blocks_of
    from ofa.checkpoints.subnet_file import read_subnet
    from ofa.published.block_network import BlockNetwork
    from ofa.reading.structured import read_json

    results = read_json(path).get("results")
    found: list[BlockNetwork] = []
    for i in range(len(results)) if isinstance(results, list) else [None]:
        named = read_subnet(path, index=i)
        if not named.space:
            raise InputError(f"{path}: does not name its space: add a key space, such as mbv3-w1.0")
        space = named.known_space(config.num_classes or named.num_classes or 1000)
        name = f"{path.stem}{'' if i is None else f'[{i}]'}"
        network = BlockNetwork(name, blocks_of(space, named.subnet(space)), named.where)
        found.append(network if config.resolution is None else network.at(config.resolution))
    return found


def show_summary(console: Console, found: Iterable[NetworkCosts], table: LatencyTable | None) -> None:
    """A line a network."""
    from rich.table import Table

    from ofa.reading.amounts import of_batch

    shown = Table(title=None if table is None else f"{table.device}: sums of blocks", title_justify="left")
    shown.add_column("network", overflow="fold")
    latency = [] if table is None else [f"ms{of_batch(table.batch)}"]
    for heading in ("px", "M MACs", "M params", "peak MB", "blocks", *latency):
        shown.add_column(heading, justify="right", no_wrap=True)
    for one in found:
        network = one.network
        shown.add_row(
            network.name,
            str(network.resolution),
            f"{network.macs / 1e6:.1f}",
            f"{network.params / 1e6:.3f}",
            f"{4e-6 * network.peak_elements:.2f}",
            str(len(network.blocks)),
            *([] if one.sum is None else [_shown_ms(one.sum.latency_ms)]),
        )
    console.print(shown)
    console.print("peak MB: of activations alive at once, one image, float32", soft_wrap=True)
    if table is not None and table.provenance != "measured":
        console.print(f"the table is {table.provenance}: {table.header['source']}", soft_wrap=True)


def show_blocks(console: Console, one: NetworkCosts) -> None:
    """A line a block."""
    from rich.table import Table

    from ofa.blocks.costs import block_macs, block_params, block_peak_elements

    shown = Table(title=f"{one.network.name}, {one.network.resolution} px: {one.network.source}", title_justify="left")
    shown.add_column("", justify="right")
    shown.add_column("block", no_wrap=True)
    for heading in ("M MACs", "K params", "peak MB", *([] if one.sum is None else ["ms"])):
        shown.add_column(heading, justify="right", no_wrap=True)
    for i, block in enumerate(one.network.blocks):
        cells = [f"{block_macs(block) / 1e6:.2f}", f"{block_params(block) / 1e3:.1f}"]
        cells.append(f"{4e-6 * block_peak_elements(block):.3f}")
        if one.sum is not None:
            value = float(one.sum.block_ms[i])
            mark = "~" if one.sum.interpolated[i] else ""
            cells.append(mark + _shown_ms(None if math.isnan(value) else value))
        shown.add_row(str(i), str(block), *cells)
    console.print(shown)
    if one.sum is not None and one.sum.interpolated.any():
        console.print("~: interpolated between the sizes that the table holds", soft_wrap=True)
    if one.sum is not None and one.sum.omitted.any():
        console.print("0: the table's source does not list such blocks", soft_wrap=True)


def _shown_ms(value: float | None) -> str:
    return "?" if value is None else f"{value:.4g}"


def _say_missing(console: Console, found: Iterable[NetworkCosts], table: LatencyTable | None) -> int:
    """1 where the table lacks blocks."""
    code, names = 0, dict[str, None]()
    for one in found:
        if one.sum is not None and one.sum.missing:
            code, lacking = 1, one.sum.missing
            names[one.asked] = None
            console.print(
                f"{one.network.name}: the table lacks {len(lacking)} of its blocks, such as {lacking[0]}",
                soft_wrap=True,
            )
    if code and table is not None and table.provenance == "measured":
        words = spelled("profilers.validate", "--table", table.path, "--also", *names)
        console.print(f"next: measure them whole on the table's device: {words}", soft_wrap=True)
    return code


if __name__ == "__main__":
    run(main)
