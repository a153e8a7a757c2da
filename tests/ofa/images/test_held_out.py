"""Which images are held out of training, and what cannot be learnt from."""

from pathlib import Path

import pytest
from PIL import Image

from ofa.errors import InputError
from ofa.images.held_out import held_out_indices, open_photos


def test_held_out_images_are_the_same_for_every_run_and_never_trained_on(photos: Path) -> None:
    opened, again = open_photos(photos, held_out=6), open_photos(photos, held_out=6, limit=5)
    assert opened.held_out == again.held_out == tuple(held_out_indices(opened.folder, 6))
    assert sorted((*opened.indices, *opened.held_out)) == list(range(24))
    assert len(again.indices) == 5
    assert set(again.indices) < set(opened.indices)
    assert len(open_photos(photos).held_out) == 2  # a tenth
    assert open_photos(photos, held_out=0).indices == tuple(range(24))
    assert all(name.startswith("train/") for name in opened.folder.names)  # validation images are not there at all


def test_images_without_classes_cannot_be_learnt_from(tmp_path: Path) -> None:
    for i in range(3):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{i}.png")
    with pytest.raises(InputError, match="has no class folders: there is nothing to learn"):
        open_photos(tmp_path)
