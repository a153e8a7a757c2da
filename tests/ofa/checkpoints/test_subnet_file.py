"""Sub-networks as files name them: whose classes a search's predictor was fitted on."""

from pathlib import Path

import pytest

from ofa.checkpoints.subnet_file import NamedSubnet
from ofa.errors import InputError
from ofa.images.facts import ImageFacts

HALF = (0.5, 0.5, 0.5)


def of(*classes: str) -> ImageFacts:
    return ImageFacts(HALF, HALF, classes=classes)


def test_a_checkpoint_of_other_classes_is_refused_by_name() -> None:
    named = NamedSubnet(Path("result.json"), {}, images=of("church", "truck", "tench"))
    with pytest.raises(
        InputError, match=r"result\.json was searched by .* other classes than a\.pt has: church inst.*owl"
    ):
        named.check_classes(of("owl", "truck", "tench"), Path("a.pt"))
    with pytest.raises(InputError, match=r"has: 3 classes instead of 2: search with a predictor of this supernet"):
        named.check_classes(of("truck", "tench"), Path("a.pt"))
    # the same classes in another order are the same task, and what is not known cannot be compared
    named.check_classes(of("tench", "church", "truck"), Path("a.pt"))
    named.check_classes(of(), Path("a.pt"))
    named.check_classes(None, Path("a.pt"))
