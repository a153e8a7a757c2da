"""`python -m ofa.predictors.collect`: figures, determinism, resuming, parts, and the user's mistakes."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from ofa.blocks import all_blocks
from ofa.blocks.costs import block_macs
from ofa.checkpoints.weights import save_checkpoint, save_network
from ofa.errors import InputError
from ofa.evaluate import __main__ as evaluate
from ofa.images.pixels.store import PixelBatch
from ofa.networks import build_supernet, extract
from ofa.predictors import subnet_accuracies
from ofa.predictors.collect import __main__ as collect
from ofa.predictors.collect import collection, measuring
from ofa.predictors.fit import __main__ as fit
from ofa.predictors.fit import measured
from ofa.predictors.subnet_accuracies import read_accuracies_csv
from ofa.search.__main__ import main as search_main
from ofa.space import get_space
from ofa.space.description import space_record
from ofa.space.header_lines import spaces_header
from ofa.tables import LatencyTable, TableRow
from tests.helpers.photographs import write_classes
from tests.helpers.short import one_split, short_searches
from tests.helpers.supernets import TINY

SPACE, RESOLUTIONS = get_space(str(TINY), 6), (32, 48)
POOR = ["--calibration-batch", "4", "--allow-poor-calibration"]  # there are twelve training images


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """imgs: 6 classes, 2 training and 3 validation images each; supernet; one of a space of ours."""
    root = tmp_path_factory.mktemp("collect")
    write_classes(root / "imgs", {"train": 2, "val": 3}, classes=6)
    torch.manual_seed(0)
    for space, name in ((SPACE, "supernet"), (get_space("mbv3-w0.1", 6), "ours")):
        save_checkpoint(build_supernet(space, dropout=0.0, resolutions=RESOLUTIONS), root / f"{name}.safetensors")
    return root


def flags(files: Path, *more: object) -> list[str]:
    given = ["--checkpoint", files / "supernet.safetensors", "--data", files / "imgs", "--batch-size", 4]
    return [*map(str, given), "--images", "14", "--calibration-images", "11", *POOR, *map(str, more)]


def collected(out: Path, *arguments: str) -> list[dict[str, str]]:
    assert collect.main([*arguments, "--out", str(out)]) == 0
    assert list(out.parent.glob("*journal*")) == []
    return rows(out)


def rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(line for line in path.read_text().splitlines() if not line.startswith("#")))


def test_figures_are_those_of_evaluate(files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = collected(tmp_path / "a.csv", *flags(files, "--subnets", 20, "--seed", 3))
    printed = capsys.readouterr().out
    assert f"wrote {tmp_path}/a.csv: 20 sub-networks of tiny" in printed
    assert f"next: python -m ofa.predictors.fit --data {tmp_path}/a.csv --out" in printed  # which knows its space
    subnets = measuring.draw(SPACE, RESOLUTIONS, 3, range(20))
    search_result = {**space_record(SPACE), "results": [{"subnet": subnet.to_dict()} for subnet in subnets]}
    (tmp_path / "result.json").write_text(json.dumps(search_result))
    arguments = ["--checkpoint", files / "supernet.safetensors", "--data", files / "imgs", "--batch-size", 4]
    arguments += ["--subnet", tmp_path / "result.json", "--limit", 14, "--calibration-images", 11, "--seed", 3, *POOR]
    assert evaluate.main([*map(str, arguments), "--out", str(tmp_path / "e.json")]) == 0
    expected = json.loads((tmp_path / "e.json").read_text())["results"]
    for row, result in zip(found, expected, strict=True):
        assert int(row["resolution"]) == result["resolution"]
        assert [float(row[key]) for key in ("top1", "top5")] == [result[key] for key in ("top1", "top5")]
        # batch normalisation is folded into the convolutions here, which rounds otherwise
        assert float(row["loss"]) == pytest.approx(result["loss"], rel=1e-5)
        for field in ("depths", "kernel_sizes", "expand_ratios"):
            assert row[field] == " ".join(map(str, result["subnet"][field]))
    assert len({row["top1"] for row in found}) > 3


def test_every_image_goes_to_the_device_once_for_all_groups(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collection, "GROUP", 2)
    moved: list[int] = []

    def to(images: PixelBatch, device: torch.device) -> PixelBatch:
        assert device == torch.device("cpu")
        moved.append(len(images.labels))
        return images

    monkeypatch.setattr(PixelBatch, "to", to)
    collected(tmp_path / "a.csv", *flags(files, "--subnets", 9, "--device", "cpu"))
    # 11 images to calibrate with and 14 to evaluate on, in batches of 4, at two resolutions
    assert sorted(moved) == sorted(2 * [4, 4, 3, 4, 4, 4, 2])


def test_the_next_command_names_a_space_of_ours(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = flags(files, "--checkpoint", files / "ours.safetensors", "--subnets", 1)
    del given[:2]
    collected(tmp_path / "a.csv", *given)
    asked = f"next: python -m ofa.predictors.fit --data {tmp_path}/a.csv --space mbv3-w0.1 --out"
    assert asked in capsys.readouterr().out


def test_any_number_of_cores_gives_the_same_file(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collection, "GROUP", 3)
    before, written = torch.get_num_threads(), []
    for threads in (1, 3):
        torch.set_num_threads(threads)
        collected(tmp_path / f"{threads}.csv", *flags(files, "--subnets", 14))
        written.append((tmp_path / f"{threads}.csv").read_text())
        assert torch.get_num_threads() == threads
    torch.set_num_threads(before)
    assert written[0] == written[1]


class Killed(Exception):
    pass


def test_killed_and_resumed_it_writes_the_same_file(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collection, "GROUP", 4)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)  # one group after the other
    arguments = flags(files, "--subnets", 12, "--first", 7)
    collected(tmp_path / "whole.csv", *arguments)
    calls: list[int] = []

    def dying(net: Any, subnets: Any, *more: Any, last: int = 2) -> Any:
        calls.append(len(subnets))
        if len(calls) == last:
            raise Killed
        return original(net, subnets, *more)

    original = measuring.measure
    monkeypatch.setattr(measuring, "measure", dying)
    out = tmp_path / "killed.csv"
    with pytest.raises(Killed):
        collected(out, *arguments)
    assert not out.exists()
    journal = tmp_path / "killed.journal.0.jsonl"
    with journal.open("a") as file:
        file.write('{"index": 5, "to')  # as a killed process may leave it
    with pytest.raises(InputError, match="continue it with --resume"):
        collected(out, *arguments)
    for change, match in (
        (["--seed", "1"], "seed = 0, but this one has 1: give the same settings"),
        (["--subnets", "13"], "subnets = 12, but this one has 13"),
        (["--images", "13"], "images = 14, but this one has 13"),
    ):
        with pytest.raises(InputError, match=match):
            collected(out, *arguments, "--resume", *change)
    kept, calls[:] = calls[0], [0, 0]
    collected(out, *arguments, "--resume")
    assert sum(calls) == 12 - kept
    assert out.read_text() == (tmp_path / "whole.csv").read_text()


def test_a_file_of_other_settings_is_neither_overwritten_nor_gone_on_with(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collection, "GROUP", 4)
    out = tmp_path / "a.csv"
    found = collected(out, *flags(files, "--subnets", 6))
    before = out.read_bytes()
    for change, match in (
        (["--seed", "1"], "with seed = 0, but this one has 1: delete it, or name another --out"),
        (["--subnets", "7"], "with subnets = 6, but this one has 7"),
        (["--tilted", "0.5"], r"with tilted = 0\.0, but this one has 0\.5"),
        (["--images", "13"], "with images = 14, but this one has 13"),
        (["--resolutions", "32"], r"with resolutions = \[32, 48\], but this one has \[32\]"),
    ):
        for resume in ([], ["--resume"]):
            with pytest.raises(InputError, match=match):
                collect.main([*flags(files, "--subnets", 6), *change, *resume, "--out", str(out)])
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]
    capsys.readouterr()
    out.chmod(0o444)
    assert collected(out, *flags(files, "--subnets", 6), "--resume") == found
    assert f"finished before: {out}: 6 sub-networks" in capsys.readouterr().out.replace("\n", " ")
    assert out.read_bytes() == before
    lines = before.decode().splitlines(keepends=True)
    for content, match in (
        ("my,own\n1,2\n", "is no file of ofa.predictors.collect: delete it, or name another --out"),
        ("mine", "is no file of ofa.predictors.collect"),
        ("", "is no file of ofa.predictors.collect"),
        ("".join(lines[:-1]), "has 5 of 6 sub-networks"),
        ("".join(lines)[:-3] + "x5\n", r"a\.csv:\d+: images is '1?x5', expected a whole number"),
    ):
        out.chmod(0o644)
        out.write_text(content)
        for resume in ([], ["--resume"]):
            with pytest.raises(InputError, match=match):
                collect.main([*flags(files, "--subnets", 6), *resume, "--out", str(out)])
        assert out.read_text() == content
    out.unlink()
    collected(out, *flags(files, "--subnets", 6))
    assert out.read_bytes() == before
    collected(out, *flags(files, "--subnets", 6))
    assert out.read_bytes() == before, "of the same settings: measured again, the same file"


def test_parts_and_additions_are_rows_of_the_whole(files: Path, tmp_path: Path) -> None:
    whole = collected(tmp_path / "whole.csv", *flags(files, "--subnets", 9))
    parts: list[dict[str, str]] = []
    for i in (1, 2, 3):
        collect.main([*flags(files, "--subnets", 9, "--shard", f"{i}/3"), "--out", str(tmp_path / "part.csv")])
        parts += rows(tmp_path / f"part.{i}of3.csv")
    assert sorted(parts, key=lambda row: int(row["index"])) == whole
    added = collected(tmp_path / "more.csv", *flags(files, "--subnets", 4, "--first", 5))
    assert added == whole[5:]


def test_the_loop_closes_in_a_small_space(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    one_split(monkeypatch)
    short_searches(monkeypatch)
    # a hundred sub-networks, and five of them in each part, take too long to measure for a test
    monkeypatch.setattr(subnet_accuracies, "MIN_ROWS", 20)
    monkeypatch.setattr(measured, "_LEAST_ROWS", 1)
    halves = [str(tmp_path / name) for name in ("a.csv", "b.csv")]
    for number, half in enumerate(halves):
        given = ["--checkpoint", files / "supernet.safetensors", "--data", files / "imgs", "--calibration-images", 12]
        given += ["--calibration-batch", 12, "--allow-poor-calibration", "--subnets", 44, "--first", 44 * number]
        collected(Path(half), *map(str, given))
    found = read_accuracies_csv([Path(half) for half in halves], str(TINY))
    assert len(found.top1) + found.merged == 88
    toy = ["--members", "2", "--epochs", "3", "--hidden", "8", "--out", str(tmp_path / "p.safetensors")]
    assert fit.main(["--data", *halves, "--space", str(TINY), *toy]) == 0
    header = {"device": "Toy", "runtime": "none", "provenance": "measured", "source": "a test"}
    rows = [TableRow(b, 0.01 + block_macs(b) / 1e6) for b in all_blocks(SPACE, RESOLUTIONS)]
    LatencyTable({**header, **spaces_header([SPACE])}, rows).save(tmp_path / "t.csv")
    arguments = ["--table", tmp_path / "t.csv", "--predictor", tmp_path / "p.safetensors", "--latency", 1.5]
    arguments += ["--num-classes", 6, "--out", tmp_path / "found"]
    assert search_main([*map(str, arguments)]) == 0
    result = json.loads((tmp_path / "found" / "result.json").read_text())["results"][0]
    assert SPACE.subnet_from_dict(result["subnet"]).resolution in (32, 48)
    assert 0 < result["latency_ms"] <= 1.5
    assert "2 networks fitted on" in capsys.readouterr().out


def test_broken_images_are_named(files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import shutil

    shutil.copytree(files / "imgs", tmp_path / "imgs")
    (tmp_path / "imgs" / "val" / "class2" / "1.png").write_bytes(b"broken")
    arguments = ["--checkpoint", str(files / "supernet.safetensors"), "--data", str(tmp_path / "imgs"), *POOR]
    found = collected(tmp_path / "a.csv", *arguments, "--subnets", "2")
    assert [row["images"] for row in found] == ["17", "17"]
    assert "1 broken image is skipped: val/class2/1.png" in capsys.readouterr().err
    assert "# broken_images: 1\n" in (tmp_path / "a.csv").read_text()
    with pytest.raises(InputError, match=r"val/class2/1\.png cannot be read as an image"):
        collected(tmp_path / "s.csv", *arguments, "--subnets", "2", "--strict")


def test_mistakes_are_named(files: Path, tmp_path: Path) -> None:
    def fails(match: str, *arguments: object) -> None:
        with pytest.raises(InputError, match=match):
            collect.main([*map(str, arguments), "--out", str(tmp_path / "r.csv")])

    data, checkpoint = (
        ["--data", files / "imgs", "--allow-poor-calibration"],
        ["--checkpoint", files / "supernet.safetensors"],
    )
    fails("absent.safetensors: no such file", "--checkpoint", tmp_path / "absent.safetensors", *data)
    fails("is a folder: expected the file of a supernet", "--checkpoint", tmp_path, *data)
    network = extract(build_supernet(SPACE), SPACE.subnet([3] * 6, [3] * 6, [2] * 2, 32))
    save_network(network, tmp_path / "network")
    fails("holds one specialised network", "--checkpoint", tmp_path / "network" / "network.safetensors", *data)
    fails("is of tiny, not mbv3-w1.0", *checkpoint, *data, "--space", "mbv3-w1.0")
    (tmp_path / "two" / "a").mkdir(parents=True)
    (tmp_path / "two" / "b").mkdir()
    fails("two holds no images", *checkpoint, "--data", tmp_path / "two")
    Image.new("RGB", (9, 9)).save(tmp_path / "two" / "a" / "1.png")
    fails("2 class folders, but the network 6 classes", *checkpoint, "--data", tmp_path / "two")
    given = [*checkpoint, "--data", files / "imgs"]
    fails("calibrated with 12 images in batches of 12, which loses accuracy", *given)
    fails("--calibration-batch is 0, expected at least 1", *given, "--calibration-batch", 0)
    fails("give --calibration DIR", *checkpoint, "--data", files / "imgs" / "val")
    fails("has no folder test, only train, val", *checkpoint, *data, "--split", "test")
    fails("--subnets is 0, expected at least 1", *checkpoint, *data, "--subnets", 0)
    ours = ["--checkpoint", files / "ours.safetensors"]  # whose last maps are one pixel
    fails("a batch of 1 image has a single value", *ours, *data, "--calibration-images", 1)
    fails("--tilted is 2.0, expected a share", *checkpoint, *data, "--tilted", 2)
    with pytest.raises(InputError, match=r"r\.txt, expected a name that ends in \.csv"):
        collect.main([*map(str, [*checkpoint, *data]), "--out", str(tmp_path / "r.txt")])
    for shard in ("0/2", "3/2", "a/2", "2"):
        fails(f"--shard: '{shard}' is not I/N", *checkpoint, *data, "--shard", shard)
    net = build_supernet(SPACE, resolutions=RESOLUTIONS)
    net.feature_mix.conv.weight.data.abs_()  # features that are above 0, of any sub-network
    net.classifier.linear.bias.data.fill_(3e38)
    net.classifier.linear.weight.data.fill_(3e38)
    save_checkpoint(net, tmp_path / "wild.safetensors")
    fails("outputs are not finite: Subnet", "--checkpoint", tmp_path / "wild.safetensors", *data, "--subnets", 1)
    assert not (tmp_path / "r.csv").exists()


def test_default_resolutions_are_spread_and_include_both_ends() -> None:
    assert measuring.spread((48, 64, 96), 5) == (48, 64, 96)
    assert measuring.spread(tuple(range(128, 225, 4)), 5) == (128, 152, 176, 200, 224)
