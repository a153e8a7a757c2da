"""Measurements in batches: no visit is lost, none is moved, and no batch needs more room than there is."""

import numpy as np
import pytest

from profilers.devices.batches import TAR_RECORD, Batch, batches_of, largest_model
from profilers.measuring.events import Begins, Done, Error, Result


def manifest(visits: list[str]) -> dict:
    names = sorted(set(visits))
    return {"seed": 0, "models": [{"id": name, "path": f"{name}.tflite"} for name in names], "visits": visits}


@pytest.mark.parametrize("room", [1, 3000, 30_000, 10**9])
def test_batches_are_the_visits_in_their_order(room: int) -> None:
    rng = np.random.default_rng(room)
    sizes = {f"m{i}.tflite": int(rng.integers(100, 4000)) for i in range(40)}
    visits = [f"m{i}" for i in rng.integers(0, 40, 500)]
    batches = batches_of(manifest(visits), sizes, room)
    assert [name for batch in batches for name in batch.manifest["visits"]] == visits
    assert [batch.first for batch in batches] == list(
        np.cumsum([0] + [len(b.manifest["visits"]) for b in batches[:-1]])
    )
    for batch in batches:
        used = sum(sizes[name] + TAR_RECORD for name in batch.files)
        assert used <= room or len(batch.files) == 1
        assert {model["id"] for model in batch.manifest["models"]} == set(batch.manifest["visits"])
        assert batch.manifest["seed"] == 0
    assert len(batches) == 1 or room < sum(sizes.values()) + TAR_RECORD * len(sizes)


@pytest.mark.parametrize("room", [1, 9000, 30_000, 10**9])
def test_all_parts_of_a_network_are_in_its_batch(room: int) -> None:
    rng = np.random.default_rng(room)
    sizes = {f"{i}.tflite": int(rng.integers(100, 4000)) for i in range(40)}
    # parts that networks have in common are sent once
    parts = {f"n{i}": [f"{j}.tflite" for j in rng.integers(0, 40, 5)] for i in range(9)}
    visits = [f"{kind}{i}" for kind, i in zip(rng.choice(["m", "n"], 300), rng.integers(0, 9, 300), strict=True)]
    models = [{"id": f"m{i}", "path": f"{i}.tflite"} for i in range(9)]
    models += [{"id": name, "parts": files} for name, files in parts.items()]
    batches = batches_of({"models": models, "visits": visits}, sizes, room)
    assert [name for batch in batches for name in batch.manifest["visits"]] == visits
    for batch in batches:
        named = {model["id"] for model in batch.manifest["models"]}
        assert named == set(batch.manifest["visits"])
        files = [{*parts.get(name, [f"{name[1:]}.tflite"])} for name in named]
        needed = set().union(*files)
        assert batch.files == sorted(needed)
        # what does not fit alone is alone, but for models that are parts of it
        assert sum(sizes[name] + TAR_RECORD for name in needed) <= room or needed in files
    assert (len(batches) == 1) == (room == 10**9)
    largest = max(sum(sizes[file] + TAR_RECORD for file in {*files}) for files in parts.values())
    assert largest_model({"models": models}, sizes) == largest + 3 * TAR_RECORD


def test_events_are_of_the_whole_manifest() -> None:
    batch = Batch(7, manifest(["a"]))
    assert batch.renumbered(Begins(1, "a")) == Begins(8, "a")
    assert batch.renumbered(Result(0, "a", [1], None, 1)) == Result(7, "a", [1], None, 1)
    assert batch.renumbered(Error(2, "a", "no")) == Error(9, "a", "no")
    assert batch.renumbered(Error(None, None, "cannot start")) == Error(None, None, "cannot start")
    assert batch.renumbered(Done()) == Done()
