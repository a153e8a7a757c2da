"""A space of one's own from its description to a model file, by the commands; files know it, and refuse another."""

import csv
import io
import json
import re
import shlex
from collections.abc import Iterator
from contextlib import redirect_stdout
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
from tests.helpers.programs import parse
from tests.helpers.short import hasty_visits, one_split, short_searches

SPACE = Path(__file__).parents[3] / "examples/mobilenet_v2.toml"
OWN: dict[str, str] = {}  # what a hint leaves to whoever types it


def run(main, *arguments: object) -> str:
    """What it said on its way."""
    said = io.StringIO()
    with redirect_stdout(said):
        assert main([str(argument) for argument in arguments]) == 0
    return said.getvalue()


def hinted(said: str, module: str) -> list[str]:
    """The words of the command that comes next, without what stands for a file or a number of one's own."""
    words = shlex.split(re.search(rf"^next: python -m {re.escape(module)} (.*)$", said, re.M)[1])
    return [OWN.get(word, word) for word in words]


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
    OWN.update({"TABLE.csv": str(root / "t.csv"), "MS": "1000", "FILE": str(root / "found/result.json")})
    OWN.update({"CSV": str(root / "acc.csv"), "PATH": str(root / "other.safetensors")})
    told = [run(profile, "--space", SPACE, "--quick", "--rounds", 1, "--timing", "warm", "--resolutions", 32,
        "--num-classes", 2, "--out", root / "t.csv")]  # fmt: skip
    told += [run(train, "--data", photos, "--space", SPACE, "--resolutions", 32, "--method", "uniform", "--epochs", 1,
        "--batch-size", 36, "--subnets-per-step", 1, "--check-images", 8, "--calibration-images", 64,
        "--out", root / "run")]  # fmt: skip
    supernet = root / "run/supernet.safetensors"
    told += [run(collect, "--checkpoint", supernet, "--data", photos, "--subnets", 1, "--calibration-images", 64,
        "--out", root / "acc.csv")]  # fmt: skip
    more_rows(root / "acc.csv")
    # each by the command that the one before told
    told += [run(fit, *hinted(told[-1], "ofa.predictors.fit"), "--members", 1, "--epochs", 2, "--hidden", 8)]
    told += [run(search, *hinted(told[-1], "ofa.search"), "--out", root / "found")]
    told += [run(export, "--checkpoint", supernet, "--subnet", root / "found/result.json", "--calibration", photos,
        "--format", "onnx", "--out", root / "model.onnx")]  # fmt: skip
    told += [run(export, "--checkpoint", supernet, "--subnet", root / "found/result.json", "--calibration", photos,
        "--format", "safetensors", "--out", root / "model.safetensors")]  # fmt: skip
    (root / "told.txt").write_text("\n".join(told), encoding="utf-8")
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
    predictor = read_json(made / "acc.json")
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
        (search, ["--table", made / "t.csv", "--predictor", made / "acc.safetensors", "--latency", 1000]),
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
    given = ["--table", tmp_path / "t.csv", "--space", other, "--predictor", made / "acc.safetensors"]
    with pytest.raises(InputError, match=r"c\.safetensors is of another mobilenet_v2: units\[3\]\.channels is \[96\]"):
        search([*map(str, given)])


def test_a_journal_is_of_its_space_alone(made: Path, other: Path, tmp_path: Path) -> None:
    for name in ("t.csv", "t.journal.jsonl"):
        (tmp_path / name).write_bytes((made / name).read_bytes())
    again = ["--quick", "--rounds", "1", "--timing", "warm", "--resolutions", "32", "--num-classes", "2", "--resume"]
    with pytest.raises(
        InputError, match=r"with space_description\.units\[3\]\.channels\[0\] = 96, but this one has 104"
    ):
        profile(["--space", str(other), *again, "--out", str(tmp_path / "t.csv")])


HINT = re.compile(r"python -m (?P<module>[a-z_.]+)(?P<words>(?: +(?![a-z]+ )[^\s;,:()]+)*)")


def require_taken(hint: re.Match[str]) -> list[str]:
    """The words of a command that was told: it takes them, and its space, if it names one, is found."""
    words = [OWN.get(word, word) for word in shlex.split(hint["words"])]
    spaces = getattr(parse(hint["module"], words), "space", None) or ()
    for name in (spaces,) if isinstance(spaces, str) else spaces:
        assert get_space(name, 2) == get_space(str(SPACE), 2), hint[0]
    return words


def test_every_command_that_was_told_is_one_that_runs(made: Path) -> None:
    found = list(HINT.finditer((made / "told.txt").read_text(encoding="utf-8")))
    assert {hint["module"] for hint in found} >= {"ofa.search", "ofa.evaluate", "ofa.predictors.fit", "ofa.predict"}
    for hint in found:
        require_taken(hint)


def test_what_is_lacking_is_told_by_commands_that_run(made: Path, tmp_path: Path) -> None:
    """Under a description's file, and under the name that only files say."""
    table, ensemble = LatencyTable.load(made / "t.csv"), tmp_path / "e.safetensors"
    run(fit, "--data", made / "acc.csv", "--kind", "ensemble", "--members", 1, "--epochs", 1, "--out", ensemble)
    assert read_json(tmp_path / "e.json")["space"] == "mobilenet_v2"
    given = ["--table", str(made / "t.csv"), "--predictor", str(ensemble), "--latency", "1000"]
    few = tmp_path / "few.csv"
    LatencyTable(table.header, [row for row in table.rows if row.block.op != "conv"]).save(few)
    for arguments, words in (
        ([*given, "--method", "exact"], f"python -m ofa.predictors.fit --teacher {ensemble}"),
        (["--table", str(made / "t.csv"), "--latency", "1000"], f"python -m ofa.predictors.fit --data {made}/acc.csv"),
        (["--table", str(few), *given[2:]], f"python -m profilers.cpu --space {SPACE}"),
    ):
        OWN["PREDICTOR"] = str(ensemble)
        with pytest.raises(InputError) as refused:
            search(arguments)
        (hint,) = HINT.finditer(str(refused.value))
        told = require_taken(hint)
        assert shlex.join(["python", "-m", hint["module"], *told]).startswith(words)


def test_the_papers_network_is_the_largest_of_the_space_under_its_table(made: Path, tmp_path: Path) -> None:
    given = ["--table", made / "t.csv", "--predictor", made / "acc.safetensors", "--networks", "mobilenet_v2@32"]
    run(search, *given, "--latency", 1000, "--out", tmp_path)
    (paper,) = read_json(tmp_path / "result.json")["networks"]["t"]
    space = get_space(str(SPACE), 2)
    largest = space.subnet((), [6] * 16, [2, 3, 4, 3, 3, 1], 32)
    assert paper["sum_ms"] == pytest.approx(LatencyTable.load(made / "t.csv").latency_ms(space, largest)[0], abs=1e-5)
    assert (paper["name"], paper["top1"], paper["missing_blocks"]) == ("mobilenet_v2", {}, 0)
