"""What `ofa.evaluate` does with each network: calibrates it, runs it on its share of the images, counts."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from rich.console import Console
from torch import Tensor

from ofa.cli.image_options import calibrating
from ofa.confusion import Confusion
from ofa.errors import InputError
from ofa.images.reading import batches, read_chunks
from ofa.networks import BatchNormStatistics, PlainNetwork, Supernet, calibrate_bn
from ofa.runs.journal import Journal
from ofa.runs.processes import Processes
from ofa.subjects import OpenedImages, Subject, net_classes
from ofa.training import scores
from ofa.training.scores import Scores, first_choices


class Evaluation:
    """Evaluates one network after another, chunk by chunk of the images, each process its share of the chunks.

    A chunk is `--batch-size` images: the batches, and so the results, are the same for any number of processes.
    """

    def __init__(
        self,
        net: PlainNetwork | Supernet,
        images: OpenedImages,
        indices: Sequence[int],
        args: argparse.Namespace,
        procs: Processes,
        journal: Journal,
    ) -> None:
        """indices: those of the images to evaluate on, in this order"""
        self.net, self.data, self.calibration = net, images.data, images.calibration
        self.args, self.procs, self.journal = args, procs, journal
        # of several folders that are one class, the first; names that the checkpoint knows go before
        named = {number: name for name, number in sorted(self.data.class_index.items(), reverse=True)}
        self.names = named | dict(enumerate(images.facts.classes))
        self.how: dict[str, Any] = {"mean": images.facts.mean, "std": images.facts.std}
        self.how |= {"strict": args.strict, "workers": args.workers}
        size = args.batch_size
        self.chunks = [indices[i : i + size] for i in range(0, len(indices), size)]
        self.broken: set[str] = set()
        self.done: dict[tuple[int, int], Mapping[str, Any]] = {}
        for line in journal.done:
            self.done[line["network"], line["chunk"]] = line
            self.broken.update(line["broken"])

    def run(self, subjects: Sequence[Subject], console: Console) -> tuple[list[dict[str, Any]], list[Confusion]]:
        """The result of every network, in order, and what it takes for what."""
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        results = []
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
            images = sum(len(chunk) for chunk in self.chunks)
            task = bar.add_task("images", total=images * len(subjects))
            for number, subject in enumerate(subjects):
                bar.update(task, description=subject.name)
                results.append(self.one(number, subject, lambda n: bar.advance(task, n)))
        return [result for result, _ in results], [confusion for _, confusion in results]

    def one(self, number: int, subject: Subject, advance: Any) -> tuple[dict[str, Any], Confusion]:
        """Calibrates and evaluates a network; its counts are summed over all processes."""
        confusion = Confusion(self.names, net_classes(self.net))
        pairs: list[tuple[list[int], list[int]]] = []  # labels, and what their images were taken for
        # a row a chunk, filled by one process each and then added: exact, whatever the number of processes
        rows = torch.zeros(len(self.chunks), 5, dtype=torch.float64)  # images, top1, top5, loss, broken
        todo = [c for c in range(len(self.chunks)) if (number, c) not in self.done]
        if self.procs.rank == 0:
            for c in range(len(self.chunks)):
                if (number, c) in self.done:
                    line = self.done[number, c]
                    rows[c] = torch.tensor(line["counts"], dtype=torch.float64)
                    pairs.append((line["labels"], line["predicted"]))
                    advance(len(self.chunks[c]))
        mine = todo[self.procs.rank :: self.procs.count]
        statistics = self.calibrated(subject) if mine and subject.subnet is not None else None
        listed = [i for c in mine for i in self.chunks[c]]
        chunks = read_chunks(self.data, subject.resolution, self.args.batch_size, indices=listed, **self.how)
        for c, chunk in zip(mine, chunks if mine else (), strict=True):
            counted, predicted = Scores(), list[int]()
            if chunk.images is not None:
                logits = self.logits(chunk.images, subject, statistics)
                counted = scores.scores_of(logits, chunk.labels.to(self.procs.device))
                predicted = first_choices(logits).tolist()
            labels = chunk.labels.tolist()
            pairs.append((labels, predicted))
            counts = [counted.images, counted.top1, counted.top5, counted.loss_sum, len(chunk.broken)]
            rows[c] = torch.tensor(counts, dtype=torch.float64)
            self.broken.update(chunk.broken)
            item = {"network": number, "chunk": c, "counts": counts, "labels": labels, "predicted": predicted}
            self.journal.add({**item, "broken": list(chunk.broken)})
            advance(len(self.chunks[c]) * (self.procs.count if todo else 1))
        for found in self.procs.gathered(pairs):
            for labels, predicted in found:
                confusion.add(labels, predicted)
        images, top1, top5, loss, broken = self.procs.total(rows).sum(0).tolist()
        if not images:
            raise InputError(f"{self.data.path}: none of {int(broken)} images can be read")
        if loss != loss:
            raise InputError(f"{subject.name}: the network's outputs are not finite")
        result = {
            "name": subject.name,
            "resolution": subject.resolution,
            "subnet": subject.subnet.to_dict() if subject.subnet is not None else None,
            **Scores(int(images), int(top1), int(top5), loss).to_dict(),
            "broken": int(broken),
            **subject.facts,
            "per_class": confusion.per_class(),
            "confusion": confusion.to_dict(),
        }
        return result, confusion

    def calibrated(self, subject: Subject) -> BatchNormStatistics:
        """Batch normalisation statistics of a sub-network; the same in every process."""
        assert self.calibration is not None
        assert subject.subnet is not None
        (folder, chosen), cut = self.calibration, calibrating(self.args)
        prepared = batches(folder, subject.resolution, self.args.batch_size, indices=chosen, **self.how)
        supernet: Any = self.net
        statistics = calibrate_bn(supernet, subject.subnet, cut.batches(prepared))
        cut.check(statistics.images, folder.path)  # without the broken ones
        return statistics

    def logits(self, images: Tensor, subject: Subject, statistics: BatchNormStatistics | None) -> Tensor:
        """(N, classes) for images (N, 3, R, R)."""
        images = images.to(self.procs.device, memory_format=torch.channels_last, non_blocking=True)
        with torch.inference_mode():
            found: Tensor = self.net(images) if subject.subnet is None else self.net(images, subject.subnet, statistics)
        return found
