"""Sub-networks as files name them: whose classes a search's predictor was fitted on."""

from pathlib import Path

import numpy as np
import pytest

from ofa.checkpoints.subnet_file import NamedSubnet, read_subnet
from ofa.errors import InputError
from ofa.images.facts import ImageFacts
from ofa.runs.files import write_json
from ofa.space import get_space

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


def test_which_of_many_results_is_wrong_is_said(tmp_path: Path) -> None:
    path, space = tmp_path / "result.json", get_space("mbv3-w0.35", 10)
    good = space.decode(space.sample(np.random.default_rng(0), 1, resolutions=[64]))[0].to_dict()
    results = [{"subnet": good} for _ in range(300)]
    results[256] = {"subnet": {**good, "depths": [9] * 5}}
    results[299] = {}
    write_json(path, {"space": space.name, "results": results})
    assert read_subnet(path, index=255).subnet(space).to_dict() == good
    with pytest.raises(InputError, match=r"result\.json: results\[256\]: not a sub-network of mbv3-w0\.35: depths"):
        read_subnet(path, index=256).subnet(space)
    with pytest.raises(InputError, match=r"result\.json: results\[299\]: no sub-network"):
        read_subnet(path, index=299)
    write_json(path, {"space": space.name, "results": results, "images": "x"})
    with pytest.raises(InputError, match=r"its description of its images is 'x', expected an object"):
        read_subnet(path, index=0)
