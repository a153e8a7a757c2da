"""The images of a fine-tuning: those to train on and those to validate with, labelled as the network's logits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ofa.errors import InputError
from ofa.finetune.config import DataOptions
from ofa.images.choice import trained_on_by_content
from ofa.images.classes import matched
from ofa.images.content import SMALL_SHARE, ContentSample, content_sample, share_known
from ofa.images.facts import HeldOut, ImageFacts, data_identity, names_sha256
from ofa.images.files.folder import ImageFolder
from ofa.images.files.opening import open_images
from ofa.images.held_out import HELD_OUT_SEED, check_learnable, held_out_indices
from ofa.images.reading import left_out_lines


@dataclass(frozen=True, eq=False)
class FinetuneData:
    """The images of a fine-tuning, labels as the network's logits have them.

    indices: those of `train` to train on, in any order
    held_out: those never trained on, in order; none where there are other images to validate with
    validation, validate_with: a folder and which of its images; None where there are none
    contents: some of those to train on, by content
    notices: lines to tell the user
    mark: what is wrong with those to validate with, to be kept with any figure that rests on them
    """

    train: ImageFolder
    indices: Sequence[int]
    held_out: Sequence[int]
    validation: ImageFolder | None
    validate_with: Sequence[int]
    contents: ContentSample
    notices: tuple[str, ...] = ()
    mark: str | None = None

    def facts(self, start: ImageFacts, *, new_classes: bool, mapped: bool, smallest_crop: float) -> ImageFacts:
        """What the resulting network knows.

        start: how images are prepared, and what the network to begin with knows; mapped: whether --classes was given
        """
        classes = start.classes
        if new_classes or not (classes or mapped):
            classes = self.train.classes
        facts = replace(
            start,
            classes=classes,
            smallest_crop=smallest_crop,
            trained_on=data_identity(self.train),
            held_out=HeldOut(len(self.held_out), HELD_OUT_SEED, names_sha256(self.train, self.held_out)),
            contents=(self.contents,),
        )
        return facts.after(start).marked(self.mark)


def open_data(
    options: DataOptions, known: ImageFacts | None, source: object, classes: int, mapping: Mapping[str, int] | None
) -> FinetuneData:
    """The images that the options name; `classes`: how many the network, `source`, has.

    Without validation images, what the training of `source` held out of the same ones is not trained on, or a tenth.
    InputError where they are no use for training, or their classes are not the network's.
    """
    train = open_images(options.data, split="train")
    check_learnable(train)
    notices: list[str | None] = []
    if not options.new_classes:
        try:
            train, line = matched(train, known, classes, mapping, source=source)
        except InputError as error:
            raise InputError(f"{error}; or --new-classes for a new classifier") from None
        notices.append(line)
    validation, kept_back = None, list[int]()
    if options.val_data is not None or "val" in train.splits:
        if options.held_out is not None:
            raise InputError("--held-out is for images without val: leave it out")
        validation = open_images(options.val_data or options.data, split="val")
        if not validation.labelled:
            raise InputError(f"{validation.path} has no class folders: there is nothing to compare with")
        named = ImageFacts((0, 0, 0), (1, 1, 1), classes=train.classes if options.new_classes else _names(known, train))
        validation, line = matched(
            validation, named, max(classes, len(train.classes)), mapping, source=f"{train.path} ({train.split})"
        )
        notices.append(line)
        chosen = list(range(len(validation)))
    else:
        count = options.held_out
        if count is None and known is not None and known.held_out is not None and known.trained_on is not None:
            same = known.trained_on.same_images(data_identity(train))
            count = known.held_out.count if same else None
        kept_back = held_out_indices(train, count)
        validation, chosen = (train, kept_back) if kept_back else (None, [])
    rest = np.setdiff1d(np.arange(len(train)), kept_back)
    if options.limit is not None:
        rest = rest[np.random.default_rng(options.seed).permutation(len(rest))[: options.limit]]
    shuffled = np.random.default_rng(options.seed).permutation(len(chosen))[: options.val_limit]
    validate_with = [chosen[i] for i in shuffled]
    contents, mark = content_sample(train, rest.tolist()), None
    if validation is not None:
        mark = _validated_on_training_images(validation, chosen, known, source, None if kept_back else contents)
    notices += [*left_out_lines(train, validation), None if mark is None else f"warning: {mark}"]
    lines = tuple(dict.fromkeys(line for line in notices if line))
    return FinetuneData(train, rest.tolist(), kept_back, validation, validate_with, contents, lines, mark)


def _validated_on_training_images(
    validation: ImageFolder,
    indices: Sequence[int],
    known: ImageFacts | None,
    source: object,
    contents: ContentSample | None,
) -> str | None:
    """That the images to validate with were trained on, by the network to begin with, or will be by the fine-tuning.

    contents: of those to fine-tune on, where these are of another folder, or split
    """
    if contents is not None and share_known(validation, [contents], indices) > SMALL_SHARE:
        return f"{validation.path}: validated on images that are fine-tuned on"
    return trained_on_by_content(validation, known, source, indices)


def _names(known: ImageFacts | None, train: ImageFolder) -> tuple[str, ...]:
    return known.classes if known is not None and known.classes else train.classes
