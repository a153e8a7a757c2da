"""The original implementation's published networks, by their ids: downloaded when first asked for.

    python -m ofa.zoo list
    python -m ofa.zoo fetch note10_lat@16ms_top1@75.5_finetune@25
    python -m ofa.evaluate --checkpoint note10_lat@16ms_top1@75.5_finetune@25 ...

Ids are those of MIT's model zoo (its README and eval_specialized_net.py). Files are kept in a cache folder; the
SHA-256 of each is recorded when it is first downloaded, and verified whenever it is used again. MIT publishes no
checksums, so the first download rests on HTTPS alone. Weights are read without running code (`ofa.networks`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from ofa.cli.command import Command, choose
from ofa.cli.config import Config, Free, Option
from ofa.cli.console import make_console
from ofa.cli.run import run
from ofa.errors import InputError
from ofa.space import get_space
from ofa.zoo_files import KINDS, ZooEntry, cache_folder, entries, fetch, find

__all__ = ["KINDS", "ZooEntry", "entries", "fetch", "fetch_specialized", "fetch_supernet", "find"]

if TYPE_CHECKING:
    from ofa.networks import PlainNetwork, Supernet


def fetch_supernet(id_: str, **where: str) -> Supernet:
    """The trained supernet of that id, in evaluation mode. `where`: as for `fetch`."""
    from ofa.checkpoints.weights import load_checkpoint
    from ofa.networks import build_supernet

    entry = find(id_)
    if entry.kind != "supernet":
        raise InputError(f"{id_} is a {entry.kind}, expected a supernet")
    net = build_supernet(get_space(entry.space), dropout=0.0)
    load_checkpoint(net, fetch(id_, **where))
    return net.eval()


def fetch_specialized(id_: str, **where: str) -> PlainNetwork:
    """The specialised network of that id, in evaluation mode. `where`: as for `fetch`."""
    from ofa.checkpoints.weights import load_network

    entry = find(id_)
    if entry.kind != "specialized":
        raise InputError(f"{id_} is a {entry.kind}, expected a specialized network")
    return load_network(fetch(id_, **where))


# ---- command line


@dataclass(frozen=True, kw_only=True)
class _CacheOptions(Config):
    cache: Annotated[Path, Free(), Option(metavar="DIR")] = field(default_factory=cache_folder)
    """folder where the files are kept"""


@dataclass(frozen=True, kw_only=True)
class ListConfig(_CacheOptions):
    """List the original's published networks."""

    kind: Literal["supernet", "specialized", "predictor"] | None = None
    """list only this kind"""


@dataclass(frozen=True, kw_only=True)
class FetchConfig(_CacheOptions):
    """Download a published network, and print its path."""

    id: Annotated[str, Option(positional=True)]
    """its id, as `list` shows it"""

    base_url: Annotated[str | None, Option(metavar="URL")] = None
    """a mirror of the public files; file:///... works too"""


COMMANDS: dict[str, Command[Any]] = {
    "list": Command("ofa.zoo list", ListConfig, "--kind supernet"),
    "fetch": Command("ofa.zoo fetch", FetchConfig, "ofa_mbv3_d234_e346_k357_w1.0"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """`python -m ofa.zoo list|fetch`."""
    config = choose("python -m ofa.zoo", COMMANDS, argv)
    if isinstance(config, FetchConfig):
        print(fetch(config.id, base_url=config.base_url, cache=config.cache))
    else:
        _print_list([config.kind] if config.kind else KINDS, config.cache)
    return 0


def _print_list(kinds: Sequence[str], folder: Path) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    console = make_console()
    for kind in kinds:
        specialized = kind == "specialized"
        table = Table(title=kind, title_justify="left", box=SIMPLE_HEAD)
        table.add_column("id", no_wrap=True)
        for heading in ("device", "cost", "top-1 %") if specialized else ("space",):
            table.add_column(heading, justify="left" if heading in ("device", "space") else "right", no_wrap=True)
        table.add_column("here")
        for entry in entries():
            if entry.kind == kind:
                facts = (entry.device, entry.cost, f"{entry.top1:.1f}") if specialized else (entry.space,)
                there = all((folder / file).is_file() for file in entry.files)
                table.add_row(entry.id, *facts, "yes" if there else "")
        console.print(table)
    console.print(f"Devices, costs and top-1 as their authors published them. Files are kept in {folder}")


if __name__ == "__main__":
    run(main)
