"""What did not run while blocks were timed in networks, and what was done instead, in words."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from ofa.blocks import Block
from profilers.measuring.judge import Outcome
from profilers.measuring.ledger import Fault

# what the system does to a program when memory runs out looks so
_KILLED = "ended by signal 9"


def failure_lines(outcome: Outcome) -> list[str]:
    """A line for each block at fault, and one for the networks that do not run whole for the same reason."""
    return [*_of_blocks(outcome), *_of_networks(outcome)]


def _of_blocks(outcome: Outcome) -> Iterator[str]:
    """Each fault once, in whichever networks it was found."""
    found: dict[tuple[Block, ...], Fault] = {}
    for name, settled in outcome.settled.items():
        for fault in settled.faults:
            found.setdefault(tuple(outcome.plan.models[name][i] for i in fault.blocks), fault)
    for blocks, fault in found.items():
        words = "; ".join(map(str, blocks))
        if len(blocks) > 1:
            yield (
                f"fails in networks: {words}: each runs alone, but not both in one model: {fault.message}; they were "
                f"timed in {'parts' if fault.in_parts else 'networks'} of their own"
            )
        elif fault.in_parts:
            yield (
                f"fails in networks: {words}: it runs alone, but not in one model with its neighbours: "
                f"{fault.message}; it was timed in a part of its own"
            )
        else:
            yield (
                f"fails in networks: {words}: it runs alone, but not beside others: {fault.message}; its figure rests "
                "on what it takes alone, and on what all blocks have in common"
            )


def _of_networks(outcome: Outcome) -> Iterator[str]:
    alike: dict[tuple[str, int], list[str]] = defaultdict(list)
    for name, settled in outcome.settled.items():
        alike[settled.message, len(settled.pieces)].append(name)
    networks = sum(name not in outcome.plan.pieces for name in outcome.plan.cuts)
    for (message, count), names in alike.items():
        memory = " (as the system ends what takes too much memory)" if _KILLED in message else ""
        timed = f"timed in {count} piece{'s' * (count != 1)}" if count else "not timed"
        some = f"{len(names)} of {networks} networks in which blocks are timed do not run whole"
        yield f"{some}: {message}{memory}: {timed}"


def failures_header(outcome: Outcome) -> dict[str, str]:
    """The same for a table's header, in numbers."""
    faults = {outcome.plan.models[name][i] for name, s in outcome.settled.items() for f in s.faults for i in f.blocks}
    header = {}
    if outcome.settled:
        pieces = sum(len(settled.pieces) for settled in outcome.settled.values())
        header["networks_in_pieces"] = f"{len(outcome.settled)}, which do not run whole, as {pieces} pieces"
    if faults:
        header["blocks_failed_in_networks"] = str(len(faults))
    return header
