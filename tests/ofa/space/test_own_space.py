"""A space of one's own from its description to a model file, by the commands; files know it, and refuse another."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from ofa.checkpoints.weights import load_supernet, read_facts
from ofa.errors import InputError
from ofa.export.__main__ import main as export
from ofa.networks.spec import NetworkSpec
from ofa.predictors.collect.__main__ import main as collect
from ofa.predictors.fit.__main__ import main as fit
from ofa.reading.structured import read_json
from ofa.search.__main__ import main as search
from ofa.space import get_space
from ofa.space.description import space_sha256
from ofa.tables import LatencyTable
from ofa.train.__main__ import main as train
from profilers.cpu import main as profile
from tests.helpers.photographs import write_classes
from tests.helpers.short import hasty_visits, one_split, short_searches

SPACE = Path(__file__).parents[3] / "examples/mobilenet_v2.toml"


def run(main, *arguments: object) -> None:
    assert main([str(argument) for argument in arguments]) == 0


@pytest.fixture(scope="module", autouse=True)
def _short() -> Iterator[None]:
    """What the figures are is not looked at."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patched:
        for shorten in (short_searches, one_split, hasty_visits):
            shorten(patched)
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of what the commands made."""
    root = tmp_path_factory.mktemp("own")
    photos = write_classes(root / "photos", {"train": 40}, 2, step=100)
    run(profile, "--space", SPACE, "--quick", "--rounds", 1, "--timing", "warm", "--resolutions", 32,
        "--num-classes", 2, "--out", root / "t.csv")  # fmt: skip
    run(train, "--data", photos, "--space", SPACE, "--resolutions", 32, "--method", "uniform", "--epochs", 1,
        "--batch-size", 36, "--subnets-per-step", 1, "--check-images", 8, "--calibration-images", 64,
        "--out", root / "run")  # fmt: skip
    supernet = root / "run/supernet.safetensors"
    run(collect, "--checkpoint", supernet, "--data", photos, "--subnets", 1, "--calibration-images", 64,
        "--out", root / "acc.csv")  # fmt: skip
    more_rows(root / "acc.csv")
    run(fit, "--data", root / "acc.csv", "--space", SPACE, "--members", 1, "--epochs", 2, "--hidden", 8,
        "--out", root / "p.safetensors")  # fmt: skip
    run(search, "--table", root / "t.csv", "--predictor", root / "p.safetensors", "--latency", 1000,
        "--out", root / "found")  # fmt: skip
    run(export, "--checkpoint", supernet, "--subnet", root / "found/result.json", "--calibration", photos,
        "--format", "onnx", "--out", root / "model.onnx")  # fmt: skip
    run(export, "--checkpoint", supernet, "--subnet", root / "found/result.json", "--calibration", photos,
        "--format", "safetensors", "--out", root / "model.safetensors")  # fmt: skip
    return root


def more_rows(path: Path) -> None:
    """Adds made-up accuracies."""
    space = get_space(str(SPACE), 2)
    subnets = space.decode(space.sample(np.random.default_rng(0), 110, resolutions=[32]))
    text = io.StringIO()
    for i, subnet in enumerate(subnets):
        lists = [" ".join(map(str, of)) for of in (subnet.depths, (), subnet.expand_ratios, ())]
        csv.writer(text, lineterminator="\n").writerow([900 + i, 32, *lists, 50 + i / 10, 100, 1.0, 24])
    known = path.read_text().replace("# rows: 1\n", "# rows: 111\n")
    path.write_text(known + text.getvalue())


def test_every_file_knows_the_space_by_name_hash_and_description(made: Path) -> None:
    space = get_space(str(SPACE), 2)
    own = space_sha256(space)
    table = LatencyTable.load(made / "t.csv")
    assert (table.header["space"], table.header["space_sha256"]) == ("mobilenet_v2", own)
    result = read_json(made / "found/result.json")
    predictor = read_json(made / "p.json")
    spec = NetworkSpec.from_dict(json.loads(metadata(made / "model.safetensors")["config"]))
    assert [of["space_sha256"] for of in (result, predictor)] == [own, own]
    assert (spec.space, spec.space_sha256, spec.family) == ("mobilenet_v2", own, "own")
    # enough to know the space without its file
    assert table.space() == load_supernet(made / "run/supernet.safetensors").space == space
    assert read_facts(made / "run/supernet.safetensors")
    assert result["results"][0]["subnet"]["kernel_sizes"] == []


def metadata(path: Path) -> dict[str, str]:
    from safetensors import safe_open

    with safe_open(path, "np") as file:
        return file.metadata()


def test_the_exported_file_runs(made: Path) -> None:
    session = onnxruntime.InferenceSession(made / "model.onnx", providers=["CPUExecutionProvider"])
    given = session.get_inputs()[0]
    (out,) = session.run(None, {given.name: np.zeros([1, *given.shape[1:]], np.float32)})
    assert out.shape == (1, 2)


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """A description of the same name, whose fourth unit is wider."""
    path = tmp_path / "other.toml"
    path.write_text(SPACE.read_text().replace("channels = 96", "channels = 104"))
    return path


def test_another_space_of_the_name_is_refused_by_what_differs(made: Path, other: Path, tmp_path: Path) -> None:
    supernet, photos, result = made / "run/supernet.safetensors", made / "photos", made / "found/result.json"
    for main, arguments in (
        (search, ["--table", made / "t.csv", "--predictor", made / "p.safetensors", "--latency", 1000]),
        (fit, ["--data", made / "acc.csv", "--out", tmp_path / "p.safetensors"]),
        (collect, ["--checkpoint", supernet, "--data", photos, "--out", tmp_path / "a.csv"]),
        (export, ["--checkpoint", supernet, "--subnet", result, "--calibration", photos, "--format", "onnx"]),
    ):
        with pytest.raises(InputError, match=r"is of another mobilenet_v2: units\[3\]\.channels is \[96\] there, and"):
            main([*map(str, arguments), "--space", str(other)])


def test_a_predictor_is_of_its_space_alone(made: Path, other: Path, tmp_path: Path) -> None:
    table = LatencyTable.load(made / "t.csv")
    header = {key: text for key, text in table.header.items() if not key.startswith("space")}
    LatencyTable({**header, "space": "x"}, table.rows).save(tmp_path / "t.csv")
    with pytest.raises(InputError, match=r"p\.safetensors is of another mobilenet_v2: units\[3\]\.channels is \[96\]"):
        search(["--table", str(tmp_path / "t.csv"), "--space", str(other), "--predictor", str(made / "p.safetensors")])


def test_a_journal_is_of_its_space_alone(made: Path, other: Path, tmp_path: Path) -> None:
    for name in ("t.csv", "t.journal.jsonl"):
        (tmp_path / name).write_bytes((made / name).read_bytes())
    again = ["--quick", "--rounds", "1", "--timing", "warm", "--resolutions", "32", "--num-classes", "2", "--resume"]
    with pytest.raises(
        InputError, match=r"with space_description\.units\[3\]\.channels\[0\] = 96, but this one has 104"
    ):
        profile(["--space", str(other), *again, "--out", str(tmp_path / "t.csv")])
