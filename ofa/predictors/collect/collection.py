"""What a collection does: measures sub-networks in groups, each of which is kept before the next begins."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from ofa.blocks.costs import count_macs, count_params, peak_activation_bytes
from ofa.checkpoints.images import EvaluationImages
from ofa.cli.options import ReadingOptions
from ofa.evaluate.scores import Scores
from ofa.images.files.folder import ImageFolder
from ofa.images.pixels.store import PixelStore, memory_passes
from ofa.networks import Supernet
from ofa.predictors.collect import measuring
from ofa.predictors.collect.measuring import PreparedImages, device_of, groups
from ofa.runs.journal import SharedJournal
from ofa.runs.system import memory_bytes
from ofa.runs.threads import in_threads
from ofa.space import Subnet

GROUP = 16  # sub-networks that run together: what a kill can lose, of each thread
MEMORY_BYTES = 4 << 30  # of prepared images at a time, in each process
# scores of sub-networks of one resolution
Measure = Callable[[Supernet, Sequence[Subnet], PreparedImages, Callable[[float], object]], list[Scores]]


@dataclass(frozen=True)
class CollectWatcher:
    """How a collection tells of itself; only the first of several processes does.

    begin: told the images, before any is decoded
    progress: told what is being done, and which share of it is
    measured: told how many sub-networks are measured, of how many, and which share of the arithmetic that was
    """

    begin: Callable[[EvaluationImages], object] = lambda _: None
    progress: Callable[[str, float], object] = lambda *_: None
    measured: Callable[[int, int, float], object] = lambda *_: None


class Collection:
    """Measures sub-networks in groups of neighbours; each group is in the journal before the next begins.

    items: what this process has measured, as in the journal
    """

    def __init__(
        self,
        net: Supernet,
        subnets: Sequence[Subnet],
        images: EvaluationImages,
        evaluated: Sequence[int],
        options: ReadingOptions,
        journal: SharedJournal,
        watcher: CollectWatcher,
        measure: Measure | None = None,
        feature_maps: int = measuring.FEATURE_MAPS,
    ) -> None:
        """evaluated: which of the images to evaluate on

        measure: a group (default: `measuring.measure`)
        feature_maps: of memory that it takes beside weights, in what its widest network holds at a time
        """
        assert images.calibration is not None
        self._net, self._subnets, self._images = net, subnets, images
        self._calibration: tuple[ImageFolder, Sequence[int]] = images.calibration
        self._evaluation: tuple[ImageFolder, Sequence[int]] = (images.data, evaluated)
        self._options, self._journal, self._watcher = options, journal, watcher
        self._measure, self._feature_maps = measure or measuring.measure, feature_maps
        self.items: list[dict[str, Any]] = []

    def run(self, todo: Sequence[int], first: int) -> None:
        """Measures those of `todo`, in order of resolution. first: the number of sub-network 0."""
        space, watcher = self._net.space, self._watcher
        macs = {i: int(count_macs(space, self._subnets[i])) for i in todo}
        all_macs, macs_done = sum(macs.values()), 0
        progress = _Share(watcher.progress, 0, all_macs)
        resolutions = sorted({self._subnets[i].resolution for i in todo})
        for part in memory_passes(resolutions, self._image_count, MEMORY_BYTES):
            images, broken = self._prepared(part)
            here = [i for i in todo if self._subnets[i].resolution in part]

            def measure(group: list[int], images: dict[int, PreparedImages] = images) -> list[Scores]:
                group_macs, asked = sum(macs[i] for i in group), [self._subnets[i] for i in group]
                advance = partial(progress.advance, group_macs)
                return self._measure(self._net, asked, images[asked[0].resolution], advance)

            with self._measured(here, measure) as results:
                for group, found in results:
                    for i, scores in zip(group, found, strict=True):
                        item = {"index": i + first, **scores.to_dict(), "broken": broken}
                        self.items.append(item)
                        self._journal.append(item)
                    macs_done += sum(macs[i] for i in group)
                    watcher.measured(len(self.items), len(todo), macs_done / all_macs)

    def _measured(
        self, here: Sequence[int], measure: Callable[[list[int]], list[Scores]]
    ) -> AbstractContextManager[Generator[tuple[list[int], list[Scores]]]]:
        """The groups of sub-networks with their scores, as they are done: on a CPU, one on each core."""
        if device_of(self._net).type != "cpu":
            return closing((group, measure(group)) for group in groups(self._subnets, here, GROUP))
        threads = self._threads(here)
        size = min(GROUP, math.ceil(len(here) / threads))
        return closing(in_threads(measure, list(groups(self._subnets, here, size)), threads))

    def _threads(self, here: Sequence[int]) -> int:
        """How many groups run at once on a CPU: as many as PyTorch may use threads, if half the memory has room."""
        threads, memory = torch.get_num_threads(), memory_bytes()
        if memory is None:
            return threads
        space, chosen = self._net.space, [self._subnets[i] for i in here]
        widest = max(int(peak_activation_bytes(space, subnet)) for subnet in chosen)
        weights = GROUP * 4 * max(int(count_params(space, subnet)) for subnet in chosen)
        batch = max(self._options.batch_size, self._images.cut.most)
        return max(1, min(threads, memory // 2 // (self._feature_maps * batch * widest + weights)))

    @property
    def _image_count(self) -> int:
        return len(self._evaluation[1]) + len(self._calibration[1])

    def _prepared(self, resolutions: Sequence[int]) -> tuple[dict[int, PreparedImages], list[str]]:
        """The images at those resolutions, and the names of those that cannot be read."""
        share = _Share(self._watcher.progress, 0, self._image_count, f"images at {', '.join(map(str, resolutions))} px")
        options, facts, cut = self._options, self._images.facts, self._images.cut
        calibration, evaluation = (
            PixelStore(
                folder,
                indices,
                resolutions,
                options.batch_size,
                workers=options.workers,
                strict=options.strict,
                advance=partial(share.advance, 1),
            )
            for folder, indices in (self._calibration, self._evaluation)
        )
        device = device_of(self._net)  # where bytes stay: a group of networks would copy them anew
        cut.check(len(self._calibration[1]) - len(calibration.broken), self._calibration[0].path)
        images = {
            r: PreparedImages(calibration.batches[r], evaluation.batches[r], facts.mean, facts.std, cut).to(device)
            for r in resolutions
        }
        return images, sorted({*calibration.broken, *evaluation.broken})


class _Share:
    """Adds up what is done, and tells which share of all it is."""

    def __init__(
        self, progress: Callable[[str, float], object], done: float, total: float, name: str = "sub-networks"
    ) -> None:
        self._progress, self._done, self._total, self._name = progress, done, total, name
        self._lock = threading.Lock()

    def advance(self, unit: float, count: float) -> None:
        """Of any thread."""
        with self._lock:
            self._done += unit * count
            self._progress(self._name, min(1.0, self._done / self._total))
