"""What an evaluation does with each network: calibrates it, runs it on its share of the images, counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ofa.checkpoints.images import EvaluationImages
from ofa.errors import InputError
from ofa.evaluate import scores
from ofa.evaluate.config import EvaluateConfig
from ofa.evaluate.confusion import Confusion
from ofa.evaluate.networks import AnyNetwork, NamedNetwork, classes_of
from ofa.evaluate.precision import autocast
from ofa.evaluate.scores import Scores, first_choices
from ofa.images.reading import batches, read_chunks
from ofa.networks import BatchNormStatistics, Supernet, calibrate_bn
from ofa.networks.layers import memory_format_of
from ofa.reading.numbers import Bounds
from ofa.runs.journal import SharedJournal
from ofa.runs.processes import Processes

FIGURE = Bounds(0, 1e12, "images, or nats")


@dataclass(frozen=True, eq=False)
class EvaluatedNetwork:
    """The accuracy of one network.

    broken: how many images could not be read; confusion: which classes it takes for which
    """

    network: NamedNetwork
    scores: Scores
    broken: int
    confusion: Confusion

    def to_dict(self) -> dict[str, Any]:
        """One of the result file's `results`."""
        subnet = self.network.subnet
        return {
            "name": self.network.name,
            "resolution": self.network.resolution,
            "subnet": None if subnet is None else subnet.to_dict(),
            **self.scores.to_dict(),
            "broken": self.broken,
            **self.network.facts,
            "per_class": self.confusion.per_class(),
            "confusion": self.confusion.to_dict(),
        }


class NetworkEvaluator:
    """Evaluates one network after another, chunk by chunk of the images, each process its share of the chunks.

    A chunk is `batch_size` images: the batches, and so the results, are the same for any number of processes.

    broken: names of images that could not be read
    """

    def __init__(
        self,
        net: AnyNetwork,
        images: EvaluationImages,
        indices: Sequence[int],
        options: EvaluateConfig,
        procs: Processes,
        journal: SharedJournal,
    ) -> None:
        """indices: those of the images to evaluate on, in this order"""
        self._net, self._images, self._procs, self._journal = net, images, procs, journal
        self._data, self._size, self._precision = images.data, options.batch_size, options.precision
        # of several folders that are one class, the first; names that the checkpoint knows go before
        named = {number: name for name, number in sorted(self._data.class_index.items(), reverse=True)}
        self._names = named | dict(enumerate(images.facts.classes))
        self._how: dict[str, Any] = {"mean": images.facts.mean, "std": images.facts.std}
        self._how |= {"strict": options.strict, "workers": options.workers}
        self._chunks = [indices[i : i + self._size] for i in range(0, len(indices), self._size)]
        self.broken: set[str] = set()
        self._done: dict[tuple[int, int], Mapping[str, Any]] = {}
        for line in filter(self._is_evaluated, journal.done):
            self._done[line["network"], line["chunk"]] = line
            self.broken.update(line["broken"])

    def _is_evaluated(self, line: Mapping[str, Any]) -> bool:
        """Whether a journal's record is what an evaluation writes; one that is damaged is evaluated again."""
        try:
            places = [FIGURE.whole(key, line[key]) for key in ("network", "chunk")]
            listed = [line[key] for key in ("labels", "predicted", "broken", "counts")]
            if places[1] >= len(self._chunks) or not all(isinstance(items, list) for items in listed):
                return False
            labels, predicted, broken, counts = listed
            known = range(classes_of(self._net))
            return (
                all(type(n) is int and n in known for n in labels + predicted)
                and all(isinstance(name, str) for name in broken)
                and len([FIGURE.check("counts", n) for n in counts]) == 5
                and len(labels) == len(predicted) == counts[0]
            )
        except (KeyError, InputError):
            return False

    def run(
        self, networks: Sequence[NamedNetwork], progress: Callable[[str, float, float], object]
    ) -> list[EvaluatedNetwork]:
        """The result of every network, in order.

        progress: told "images", how many are done, and of how many, all networks together
        """
        total, seen = sum(map(len, self._chunks)) * len(networks), 0

        def advance(images: int) -> None:
            nonlocal seen
            seen += images
            progress("images", min(seen, total), total)

        return [self.one(number, network, advance) for number, network in enumerate(networks)]

    def one(self, number: int, network: NamedNetwork, advance: Callable[[int], object]) -> EvaluatedNetwork:
        """Calibrates and evaluates a network; its counts are summed over all processes."""
        confusion = Confusion(self._names, classes_of(self._net))
        pairs: list[tuple[list[int], list[int]]] = []  # labels, and what their images were taken for
        # a row a chunk, filled by one process each and then added: exact, whatever the number of processes
        rows = torch.zeros(len(self._chunks), 5, dtype=torch.float64)  # images, top1, top5, loss, broken
        todo = [c for c in range(len(self._chunks)) if (number, c) not in self._done]
        if self._procs.rank == 0:
            for c in range(len(self._chunks)):
                if (number, c) in self._done:
                    line = self._done[number, c]
                    rows[c] = torch.tensor(line["counts"], dtype=torch.float64)
                    pairs.append((line["labels"], line["predicted"]))
                    advance(len(self._chunks[c]))
        mine = todo[self._procs.rank :: self._procs.count]
        statistics = self._calibrated(network) if mine and network.subnet is not None else None
        listed = [i for c in mine for i in self._chunks[c]]
        chunks = read_chunks(self._data, network.resolution, self._size, indices=listed, **self._how)
        for c, chunk in zip(mine, chunks if mine else (), strict=True):
            counted, predicted = Scores(), list[int]()
            if chunk.images is not None:
                logits = self._logits(chunk.images, network, statistics)
                counted = scores.scores_of(logits, chunk.labels.to(self._procs.device))
                predicted = first_choices(logits).tolist()
            labels = chunk.labels.tolist()
            pairs.append((labels, predicted))
            counts = [counted.images, counted.top1, counted.top5, counted.loss_sum, len(chunk.broken)]
            rows[c] = torch.tensor(counts, dtype=torch.float64)
            self.broken.update(chunk.broken)
            item = {"network": number, "chunk": c, "counts": counts, "labels": labels, "predicted": predicted}
            self._journal.append({**item, "broken": list(chunk.broken)})
            advance(len(self._chunks[c]) * self._procs.count)
        for found in self._procs.gathered(pairs):
            for labels, predicted in found:
                confusion.add(labels, predicted)
        images, top1, top5, loss, broken = self._procs.total(rows).sum(0).tolist()
        if not images:
            raise InputError(f"{self._data.path}: none of {int(broken)} images can be read")
        if loss != loss:
            raise InputError(f"{network.name}: the network's outputs are not finite")
        return EvaluatedNetwork(network, Scores(int(images), int(top1), int(top5), loss), int(broken), confusion)

    def _calibrated(self, network: NamedNetwork) -> BatchNormStatistics:
        """Batch normalisation statistics of a sub-network; the same in every process."""
        assert self._images.calibration is not None
        assert network.subnet is not None
        assert isinstance(self._net, Supernet)
        (folder, chosen), cut = self._images.calibration, self._images.cut
        prepared = batches(folder, network.resolution, self._size, indices=chosen, **self._how)
        with autocast(self._precision, self._procs.device):
            statistics = calibrate_bn(self._net, network.subnet, cut.batches(prepared))
        cut.check(statistics.images, folder.path)  # without the broken ones
        return statistics

    def _logits(self, images: Tensor, network: NamedNetwork, statistics: BatchNormStatistics | None) -> Tensor:
        """(N, classes) for images (N, 3, R, R)."""
        images = images.to(self._procs.device, memory_format=memory_format_of(self._net), non_blocking=True)
        with torch.inference_mode(), autocast(self._precision, self._procs.device):
            if network.subnet is None or not isinstance(self._net, Supernet):
                found: Tensor = self._net(images)
            else:
                found = self._net(images, network.subnet, statistics)
        return found
