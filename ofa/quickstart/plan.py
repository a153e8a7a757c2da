"""How large each step may be, so that all together take no longer than they may. Nothing here measures or runs."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, replace

from ofa.quickstart.photos import LEAST_TRAINED, PhotoCounts
from ofa.quickstart.speed import SPACE, Speed

# the steps, in their order
TRAIN, COLLECT, FIT, PROFILE, SEARCH, VERIFY, EXPORT, EVALUATE, REPORT = STEPS = (
    "train", "collect", "fit", "profile", "search", "verify", "export", "evaluate", "report"
)  # fmt: skip


@dataclass(frozen=True)
class Size:
    """A space at some resolutions.

    macs: of its networks, against those of the first size; learnt: whether a supernet of it is shipped
    least_subnets: how many `ofa.predictors.fit` needs, for its test at every resolution
    """

    space: str
    resolutions: tuple[int, ...]
    macs: float
    learnt: bool
    least_subnets: int


# the first is the one whose speed is measured
SIZES = (
    Size(SPACE, (48, 72, 96), 1.0, True, 240),
    Size(SPACE, (48, 64), 0.6, True, 150),
    Size("mbv3-w0.5", (64, 96, 128), 3.0, False, 240),
)
USUAL, SMALL, LARGE = SIZES

SLACK = 0.12  # of the time, for what takes longer than it should
TRAIN_SHARE = 0.65  # of the time that neither is spoken for
# passes over the photographs: more gain little (from shipped weights), or are what a toy needs (from random ones)
MOST_EPOCHS = {True: 60, False: 240}
ENOUGH_EPOCHS = {True: 8, False: 40}
LARGE_EPOCHS, LARGE_IMAGES = 120, 5000  # a larger space is worth it from so many passes over so many photographs
FEWEST_EPOCHS = 3
MANY_IMAGES = 1000  # so many are trained on, if there are and it fits into the time
# where not even that fits: images to train on, to measure accuracies on and to calibrate with. 64 of these must be read
FEWER_IMAGES, FEWER_CHECKED, FEWER_CALIBRATION = 300, 100, 96
MOST_SUBNETS = 500
CHECKS = 4
# seconds of what hardly depends on the sizes, on the machine on which this was tried (docs/results/quickstart.md)
FIXED_S = {FIT: 12.0, SEARCH: 2.0, EXPORT: 6.0, EVALUATE: 2.0, REPORT: 4.0}
# and of what times something, most of it as long as a clock says: a slow machine takes longer by the root
TIMED_S = {PROFILE: 22.0, VERIFY: 45.0}
TRIED_TRAIN_S = 0.0045  # a step of training there, for each image
# how often the time to load torch passes until a command begins: some load it not at all, or more beside it
STARTS = {
    TRAIN: 1.5, COLLECT: 1.5, FIT: 1.5, PROFILE: 0.5, SEARCH: 0.5, VERIFY: 1.0, EXPORT: 1.5, EVALUATE: 1.5, REPORT: 1.0
}  # fmt: skip


@dataclass(frozen=True)
class QuickstartPlan:
    """What the steps are asked for.

    limit: train on so many of the photographs, None: on all
    subnets: whose accuracies are collected; images, calibration: that each is evaluated on, and calibrated with
    """

    size: Size
    learnt: bool
    epochs: int
    batch: int
    limit: int | None
    subnets: int
    images: int
    calibration: int

    def trained(self, photos: PhotoCounts) -> int:
        """Images that are trained on."""
        return photos.trained if self.limit is None else min(self.limit, photos.trained)


def estimates(plan: QuickstartPlan, photos: PhotoCounts, speed: Speed) -> dict[str, float]:
    """Seconds that each step should take."""
    slow = min(6.0, max(0.5, speed.train_s / TRIED_TRAIN_S))
    found = {step: speed.start_s * STARTS[step] + FIXED_S.get(step, 0) * slow for step in STEPS}
    found |= {step: found[step] + seconds * math.sqrt(slow) for step, seconds in TIMED_S.items()}
    n, forward_s = plan.trained(photos), speed.forward_s * plan.size.macs
    checked = min(photos.held_out, plan.images)
    found[TRAIN] += (n + checked) * speed.decode_s + plan.epochs * n * speed.train_s * plan.size.macs
    found[TRAIN] += (CHECKS + 1) * 2 * (checked + plan.calibration) * forward_s
    found[COLLECT] += (checked + plan.calibration) * (speed.decode_s + plan.subnets * forward_s)
    found[EXPORT] += (checked + plan.calibration) * (speed.decode_s + 3 * forward_s)
    found[EVALUATE] += (photos.held_out + plan.calibration) * (speed.decode_s + 3 * forward_s)
    return found


def choose(photos: PhotoCounts, speed: Speed, minutes: float, *, from_scratch: bool) -> QuickstartPlan:
    """Sizes and lengths that should fit into the minutes; the smallest where nothing does."""
    longer = max(1.0, minutes / 15)
    least = _least(USUAL, photos, learnt=not from_scratch)
    plan = _filled(least, photos, speed, minutes)
    enough = ENOUGH_EPOCHS[plan.learnt]
    if from_scratch and photos.trained >= LARGE_IMAGES:
        large = _filled(_least(LARGE, photos, learnt=False), photos, speed, minutes)
        if large.epochs >= LARGE_EPOCHS:
            plan = large
    if plan.epochs < enough:
        plan = _filled(_least(SMALL, photos, learnt=not from_scratch), photos, speed, minutes)
    passes = plan.epochs * plan.trained(photos)
    limit = max(MANY_IMAGES, passes // enough)
    if plan.epochs < enough and limit < plan.trained(photos):  # fewer photographs, more often
        plan = replace(plan, epochs=max(FEWEST_EPOCHS, passes // limit), limit=limit)
    plan = replace(plan, epochs=min(plan.epochs, round(MOST_EPOCHS[plan.learnt] * longer)))
    return with_subnets(_fitting(plan, photos, speed, minutes), photos, speed, minutes * 60)


def _fitting(plan: QuickstartPlan, photos: PhotoCounts, speed: Speed, minutes: float) -> QuickstartPlan:
    """With less of everything, one thing after the other, until it takes no longer than it may."""

    def over_s() -> float:
        return max(0.0, sum(estimates(plan, photos, speed).values()) - minutes * 60 * (1 - SLACK))

    def fewer_photos(least: int) -> QuickstartPlan:
        of_each_s = speed.decode_s + plan.epochs * speed.train_s * plan.size.macs
        now = plan.trained(photos)
        fitting = max(least, now - math.ceil(over_s() / of_each_s))
        return plan if fitting >= now else replace(plan, limit=fitting)

    if over_s():
        images, calibration = min(plan.images, FEWER_CHECKED), min(plan.calibration, FEWER_CALIBRATION)
        plan = replace(plan, images=images, calibration=calibration)
    plan = fewer_photos(MANY_IMAGES)
    epoch_s = plan.trained(photos) * speed.train_s * plan.size.macs
    plan = replace(plan, epochs=max(FEWEST_EPOCHS, plan.epochs - math.ceil(over_s() / epoch_s)))
    return fewer_photos(FEWER_IMAGES)


def _least(size: Size, photos: PhotoCounts, *, learnt: bool) -> QuickstartPlan:
    """The plan that takes least time."""
    images, calibration = min(photos.held_out, 300), min(photos.trained, 128)
    batch = 32 if photos.trained < 2000 else 64
    return QuickstartPlan(size, learnt, FEWEST_EPOCHS, batch, None, size.least_subnets, images, calibration)


def _filled(plan: QuickstartPlan, photos: PhotoCounts, speed: Speed, minutes: float) -> QuickstartPlan:
    """With as many epochs as its share of the time allows, of no more photographs than can be decoded."""
    seconds = minutes * 60 * (1 - SLACK)
    if photos.trained * speed.decode_s > seconds / 6:
        plan = replace(plan, limit=max(LEAST_TRAINED, int(seconds / 6 / speed.decode_s)))
    spoken_for = sum(estimates(plan, photos, speed).values())
    an_epoch = plan.trained(photos) * speed.train_s * plan.size.macs
    free = seconds - spoken_for
    return replace(plan, epochs=max(FEWEST_EPOCHS, FEWEST_EPOCHS + int(TRAIN_SHARE * free / an_epoch)))


def with_subnets(
    plan: QuickstartPlan, photos: PhotoCounts, speed: Speed, left_s: float, done: Collection[str] = ()
) -> QuickstartPlan:
    """With as many sub-networks as fit into the seconds that are left.

    done: steps that are finished, and no longer to come
    """
    least = replace(plan, subnets=plan.size.least_subnets)
    to_come = sum(seconds for step, seconds in estimates(least, photos, speed).items() if step not in done)
    a_subnet = (min(photos.held_out, plan.images) + plan.calibration) * speed.forward_s * plan.size.macs
    more = int((left_s * (1 - SLACK) - to_come) / a_subnet / 10) * 10
    return replace(least, subnets=min(MOST_SUBNETS, least.subnets + max(0, more)))
