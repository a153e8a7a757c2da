"""`ofa`: every command, in the order in which they lead from a device to a file for it; and the way to each."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Sequence
from typing import NamedTuple, NoReturn

from ofa import __version__
from ofa.cli.command import did_you_mean
from ofa.cli.run import run
from ofa.errors import UsageError


class Entry(NamedTuple):
    """name: after `ofa`; module: after `python -m`, the same command"""

    name: str
    module: str
    words: str


STEPS: dict[str, tuple[Entry, ...]] = {
    "Begin with a folder of photographs": (
        Entry("quickstart", "ofa.quickstart", "a network for this machine in 15 minutes, step by step"),
    ),
    "Choose what is searched": (Entry("space show", "ofa.spaces", "show a search space, of ours or by your own file"),),
    "Measure a device, block by block, into a latency table": (
        Entry("profile cpu", "profilers.cpu", "this machine's CPU"),
        Entry("profile gpu", "profilers.gpu", "an NVIDIA GPU"),
        Entry("profile android", "profilers.android", "a phone, over adb"),
        Entry("profile linux", "profilers.linux", "a board, over ssh"),
        Entry("validate", "profilers.validate", "compare the table's sums with whole networks"),
        Entry("margin", "profilers.margin", "measure how far searched networks exceed their sums"),
        Entry("energy", "profilers.energy", "measure millijoules by a phone's battery"),
        Entry("estimate", "profilers.transfer", "estimate the table of a device from a few timed networks"),
        Entry("compare", "profilers.compare", "find what changed between two tables"),
        Entry("merge", "profilers.lab.siblings", "compare devices of one model, and merge their tables"),
        Entry("history", "profilers.lab.history", "find when a device drifted, by its dated tables"),
        Entry("regenerate", "profilers.regenerate", "measure all tables again, every night"),
        Entry("lab", "profilers.lab", "all of this on many devices of several hosts"),
    ),
    "Train a supernet, and predict the accuracy of its sub-networks": (
        Entry("train", "ofa.train", "train a supernet on your images"),
        Entry("publish", "ofa.publish", "make it a small file that needs no images"),
        Entry("collect", "ofa.predictors.collect", "measure the accuracies of random sub-networks"),
        Entry("fit", "ofa.predictors.fit", "fit an accuracy predictor to them"),
    ),
    "Find the best sub-network for a device": (
        Entry("search", "ofa.search", "find the most accurate within each latency limit"),
        Entry("verify", "profilers.verify", "measure the networks that were found on the device"),
        Entry("baselines", "profilers.baselines", "measure published networks beside found ones"),
    ),
    "Take the network to the device": (
        Entry("evaluate", "ofa.evaluate", "measure its accuracy on images"),
        Entry("finetune", "ofa.finetune", "train it further, on your own classes too"),
        Entry("export", "ofa.export", "write it as ONNX, TFLite or TorchScript"),
        Entry("predict", "ofa.predict", "classify photographs with such a file"),
    ),
    "Show what was found": (Entry("report", "ofa.report", "one page of it, to open, send and print"),),
    "Use what others published": (
        Entry("costs", "ofa.costs", "what named networks and lists of blocks cost"),
        Entry("zoo", "ofa.zoo", "list and fetch the original's networks"),
        Entry("convert", "latency_tables.convert", "turn block latencies into a table"),
        Entry("convert-networks", "latency_tables.convert_networks", "import networks' latencies for `ofa estimate`"),
    ),
}


def overview() -> str:
    """All commands, a line each."""
    lines = [f"ofa {__version__}: the best image network for your device, from latencies measured on it", ""]
    for number, (step, entries) in enumerate(STEPS.items(), 1):
        lines.append(f"{number}. {step}")
        lines += [f"   ofa {entry.name:17} {entry.words:52} python -m {entry.module}" for entry in entries]
        lines.append("")
    lines.append(
        "Each command lists its options with --help. Start with: ofa quickstart PHOTOS, a folder for each class"
    )
    lines.append("or, without photographs: ofa search --table note10 --latency 15 20 25")
    return "\n".join(lines)


def find(words: Sequence[str]) -> tuple[Entry, list[str]]:
    """The command that the words begin with, and its own words; UsageError says which there are."""
    entries = {entry.name: entry for step in STEPS.values() for entry in step}
    for length in (2, 1):
        if entry := entries.get(" ".join(words[:length])):
            return entry, list(words[length:])
    devices = [name.removeprefix("profile ") for name in entries if name.startswith("profile ")]
    if words[0] == "profile":
        given = words[1] if len(words) > 1 else ""
        raise UsageError(f"ofa profile needs a device: {', '.join(devices)}{did_you_mean(given, devices)}")
    guess = did_you_mean(words[0], ["profile", *entries]) or did_you_mean(" ".join(words[:2]), entries)
    raise UsageError(f"there is no command {words[0]!r}{guess}; `ofa` lists all")


def main(argv: Sequence[str] | None = None) -> int:
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help", "help"):
        print(overview())
        return 0
    if words[0] == "--version":
        print(__version__)
        return 0
    entry, rest = find(words)
    sys.argv = [f"ofa {entry.name}", *rest]
    runpy.run_module(entry.module, run_name="__main__", alter_sys=True)  # ends by itself, with its own exit code
    return 0


def program() -> NoReturn:
    """The console script."""
    run(main)
