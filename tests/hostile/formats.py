"""Every format that a command reads: a small sound file of it, and its reader. What is believed is checked here.

Used by the corpus, by the fuzzers of `make test` and by `benchmarks/fuzz.py`.
"""

from __future__ import annotations

import io
import json
import queue
import struct
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from ofa.blocks import all_blocks
from ofa.blocks.costs import block_macs
from ofa.errors import InputError
from ofa.predictors.accuracy import AccuracyPredictor
from ofa.predictors.subnet_accuracies import read_accuracies_csv, read_image_facts
from ofa.runs.journal import Journal
from ofa.space import Subnet, get_space
from ofa.space.mit_format import subnet_to_mit
from ofa.tables import LatencyTable, TableRow
from ofa.tables.network_times import read_networks, write_networks

SPACE = get_space("mbv3-w0.35")
TINY = "mbv3-w0.05"  # of supernets and networks that are only read
SUBNET = SPACE.decode(SPACE.sample(np.random.default_rng(1), 1, resolutions=[64]))[0]
Files = Mapping[str, bytes]


@dataclass(frozen=True)
class Format:
    """name: of the file that is given; make: it and those beside it, sound; read: raises InputError, or believes."""

    name: str
    make: Callable[[Path], object]
    read: Callable[[Path], object]

    def files(self, folder: Path) -> dict[str, bytes]:
        """{name: content} of a sound input, made in an empty folder."""
        self.make(folder)
        return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def write(folder: Path, files: Files) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


# ---- tables


def make_table(folder: Path) -> None:
    rows = [TableRow(b, 0.001 + block_macs(b) * 1e-8, mad_ms=0.0, runs=20) for b in all_blocks(SPACE, [64])]
    header = {"device": "D", "runtime": "R", "provenance": "measured", "space": SPACE.name, "source": "S"}
    header |= {"resolutions": "64", "batch": "1", "expected_error": "not known", "sum_correction": "scale=1.1 calls=0"}
    LatencyTable(header, rows).save(folder / "table.csv")


def read_table(path: Path) -> None:
    table = LatencyTable.load(path)
    assert table.batch >= 1
    assert table.num_classes >= 1
    assert all(32 <= r <= 1024 for r in table.resolutions)
    assert " ".join([*table.header, *table.header.values()]).isprintable()
    latency_ms = table.latency_ms(SPACE, SPACE.sample(np.random.default_rng(0), 20, resolutions=[64]))
    assert np.isfinite(latency_ms).all()
    assert (latency_ms > 0).all()


def make_times(folder: Path) -> None:
    subnets = SPACE.decode(SPACE.sample(np.random.default_rng(0), 5, resolutions=[64]))
    header = {"device": "D", "source": "S"}
    times = [f"{20 + i}.5" for i in range(5)]
    write_networks(folder / "times.csv", header, [(SPACE.name, s) for s in subnets], {"latency_ms": times})


def read_times(path: Path) -> None:
    found = read_networks(path)
    assert np.isfinite(found.latency_ms).all()
    assert (found.latency_ms > 0).all()
    assert len(found.networks) == len(found.latency_ms)


# ---- accuracies and predictors


def make_accuracies(folder: Path) -> None:
    subnets = SPACE.decode(SPACE.sample(np.random.default_rng(0), 130, resolutions=[64, 96]))
    facts = {"space": SPACE.name, "rows": len(subnets), "checkpoint_sha256": "00", "image_facts": IMAGES}
    lines = [f"# {key}: {json.dumps(value)}" for key, value in facts.items()]
    lines.append("resolution,depths,kernel_sizes,expand_ratios,top1")
    for i, s in enumerate(subnets):
        lists = [" ".join(map(str, values)) for values in (s.depths, s.kernel_sizes, s.expand_ratios)]
        lines.append(f"{s.resolution},{','.join(lists)},{60 + i % 17}.25")
    (folder / "accuracies.csv").write_text("\n".join(lines) + "\n")


def read_accuracies(path: Path) -> None:
    data = read_accuracies_csv(path, SPACE.name)
    assert len(data.genes) == len(data.top1)
    assert ((data.top1 >= 0) & (data.top1 <= 100)).all()
    sound_images(read_image_facts(path))


def make_predictor(folder: Path) -> None:
    AccuracyPredictor.default(SPACE).save(folder / "predictor.safetensors")


def make_ensemble(folder: Path) -> None:
    AccuracyPredictor.default(get_space("mbv3-w1.2")).save(folder / "predictor.safetensors")


def read_predictor(path: Path, space: str = SPACE.name) -> None:
    predictor = AccuracyPredictor.load(path, get_space(space))
    assert predictor.description.isprintable()
    genes = predictor.space.sample(np.random.default_rng(0), 20, resolutions=predictor.resolutions)
    for found in (predictor.predict(genes), predictor.promised(genes)):
        assert np.isfinite(found.top1).all()
        assert (found.std[np.isfinite(found.std)] >= 0).all()


def make_mit_predictor(folder: Path) -> None:
    import torch

    sizes = [128, 8, 1]
    state: dict[str, Any] = {}
    for i in range(2):
        state |= {f"{2 * i}.weight": torch.ones(sizes[i + 1], sizes[i]), f"{2 * i}.bias": torch.zeros(sizes[i + 1])}
    torch.save(state, folder / "predictor.pth")


# ---- sub-networks


IMAGES = {"mean": [0.5, 0.5, 0.5], "std": [0.2, 0.2, 0.2], "classes": ["a", "b"], "marks": ["m"]}


def make_result(folder: Path) -> None:
    row = {"table": "t", "limit_ms": 20, "latency_ms": 19.5, "predicted_top1": 70.5, "subnet": SUBNET.to_dict()}
    other = {**row, "limit_ms": 30, "latency_ms": 29.5}
    content = {"space": SPACE.name, "num_classes": 1000, "images": IMAGES, "results": [row, other]}
    (folder / "result.json").write_text(json.dumps(content))


def read_result(path: Path) -> None:
    from ofa.checkpoints.subnet_file import read_subnet

    for limit_ms in (None, 30.0):
        named = read_subnet(path, limit_ms=limit_ms)
        sound_images(named.images)
        sound_subnet(named.subnet(get_space(named.space or SPACE.name)))
        assert 32 <= named.resolution <= 1024


def make_subnet(folder: Path) -> None:
    (folder / "subnet.json").write_text(json.dumps({"space": SPACE.name, **SUBNET.to_dict()}))


def make_mit_subnet(folder: Path) -> None:
    (folder / "subnet.json").write_text(json.dumps(subnet_to_mit(SPACE, SUBNET)))


def read_one_subnet(path: Path) -> None:
    from ofa.checkpoints.subnet_file import read_subnet

    named = read_subnet(path)
    sound_subnet(named.subnet(get_space(named.space or SPACE.name)))
    assert 32 <= named.resolution <= 1024


def sound_subnet(subnet: Subnet) -> None:
    assert 32 <= subnet.resolution <= 1024
    assert set(subnet.kernel_sizes) <= {0, 3, 5, 7}
    assert set(map(type, (*subnet.depths, *subnet.kernel_sizes, subnet.resolution))) <= {int}


def sound_images(facts: Any) -> None:
    if facts is not None:
        assert all(0 < s <= 1e6 for s in facts.std)
        assert all(isinstance(name, str) for name in facts.classes)
        assert facts.resolution is None or 1 <= facts.resolution <= 4096
        assert facts.smallest_crop is None or 0 < facts.smallest_crop <= 1


# ---- networks


def tiny_network(num_classes: int = 2) -> Any:
    import torch

    from ofa.networks import build_supernet, extract

    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = build_supernet(get_space(TINY, num_classes), 0.1, [64])
        return net, extract(net, get_space(TINY).decode(get_space(TINY).sample(np.random.default_rng(0), 1))[0])


def _facts() -> Any:
    from ofa.images.facts import ImageFacts

    return ImageFacts.from_dict(IMAGES, "test")


def make_supernet(folder: Path) -> None:
    from ofa.checkpoints.weights import save_checkpoint

    facts = {"stages": [{"expands": 0, "widths": 0}]}
    save_checkpoint(tiny_network()[0], folder / "supernet.safetensors", facts=facts, images=_facts())


def read_supernet(path: Path) -> None:
    from ofa.checkpoints import weights
    from ofa.checkpoints.opening import open_supernet
    from ofa.training.shrinking import trained_choices

    net = open_supernet(path, TINY, 2)
    assert net.space.num_classes == 2
    assert 0 <= net.dropout < 1
    assert all(32 <= r <= 1024 for r in net.resolutions)
    sound_images(weights.read_image_facts(path))
    assert isinstance(weights.read_facts(path), dict)
    weights.read_calibration(path)
    trained_choices(net.space, path)


def make_network(folder: Path) -> None:
    from ofa.checkpoints.weights import save_network

    save_network(tiny_network()[1], folder / "network", _facts())


def make_network_file(folder: Path) -> None:
    from ofa.checkpoints.weights import save_checkpoint

    save_checkpoint(tiny_network()[1], folder / "network.safetensors", images=_facts())


def make_mit_network(folder: Path) -> None:
    from ofa.checkpoints.weights import save_mit_network

    save_mit_network(tiny_network()[1], folder / "network")


def make_net_config(folder: Path) -> None:
    import torch

    from ofa.checkpoints.mit_layout import spec_to_net_config
    from ofa.networks import build_supernet, extract

    with torch.device("meta"):
        spec = extract(build_supernet(SPACE), SUBNET).spec
    sizes = json.dumps({"image_size": spec.resolution}).encode()
    write(folder / "network", {"net.config": json.dumps(spec_to_net_config(spec)).encode(), "run.config": sizes})


def read_network(path: Path) -> None:
    from ofa.checkpoints.opening import open_checkpoint
    from ofa.checkpoints.weights import read_image_facts as facts_of
    from ofa.networks import PlainNetwork

    net = open_checkpoint(path, TINY, 2)
    assert isinstance(net, PlainNetwork)
    assert 1 <= net.spec.resolution <= 4096
    sound_images(facts_of(path))


def read_net_config(path: Path) -> None:
    from ofa.checkpoints.subnet_file import read_subnet

    named = read_subnet(path / "net.config")
    sound_subnet(named.subnet(get_space(named.space)))


def make_weights(folder: Path) -> None:
    import torch

    torch.save({"state_dict": {"a.weight": torch.zeros(3, 4), "a.bias": torch.arange(3.0)}}, folder / "weights.pth")


def read_weights(path: Path) -> None:
    from torch import Tensor

    from ofa.reading.torch_file import read_torch_file

    assert all(isinstance(tensor, Tensor) for tensor in read_torch_file(path).values())


def make_state(folder: Path) -> None:
    import torch

    from ofa.training.state import write_state

    write_state(folder / "state.safetensors", {"network": {"a": torch.zeros(3)}}, {"epoch": 1, "settings": {}})


def read_training_state(path: Path) -> None:
    from ofa.training.state import read_state

    groups, facts = read_state(path)
    assert isinstance(facts, dict)
    assert all(groups.values())


def safetensors(header: Any, data: bytes = b"") -> bytes:
    """A file with any header, as its format lays it out."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def with_metadata(content: bytes, **changes: Any) -> bytes:
    """A safetensors file with other metadata; None takes a key out."""
    length = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + length])
    metadata = {**header.get("__metadata__", {}), **changes}
    header["__metadata__"] = {key: value for key, value in metadata.items() if value is not None}
    return safetensors(header, content[8 + length :])


def metadata_of(content: bytes) -> dict[str, str]:
    length = struct.unpack("<Q", content[:8])[0]
    found: dict[str, str] = json.loads(content[8 : 8 + length])["__metadata__"]
    return found


# ---- runs


@cache
def _plan() -> Any:
    from profilers.measuring.plan import make_plan

    return make_plan([(block,) for block in all_blocks(SPACE, [64])[:10]], rounds=2, seed=0)


def make_journal(folder: Path) -> None:
    from profilers.measuring.events import Hello, Result
    from profilers.measuring.ledger import Ledger

    ledger = Ledger(_plan(), Journal.create(folder / "run.journal.jsonl", {"seed": 0}))
    ledger.greet(Hello("a", "r 1", {"cpu_model": "Z80"}))
    for visit in _plan().visits[:7]:
        ledger.credit(visit, Result(0, visit.model, [1000 + visit.number] * 20, None, 1))
    ledger.journal.close()


def read_journal(path: Path) -> None:
    from profilers.measuring.ledger import Ledger

    ledger = Ledger(_plan(), Journal.read(path))
    assert all(result["samples_ns"] for result in ledger.results.values())
    before = len(Journal.read(path).records)
    journal = Journal.resume(path, ledger.journal.settings)
    journal.append({"kind": "failed", "id": "b00001", "message": "m"})
    journal.close()
    assert len(Journal.read(path).records) == before + 1


SETTINGS = {
    "data": {"file": "x", "sha256": "00" * 32},
    "seed": 0,
    "stages": [{"name": "a", "epochs": 2}],
    "dropout": None,
}


def make_run(folder: Path) -> None:
    (folder / "run.json").write_text(json.dumps(SETTINGS))


def read_run(path: Path) -> None:
    """As a training looks at what it goes on with."""
    from ofa.reading.numbers import cut
    from ofa.reading.structured import read_json
    from ofa.runs.settings import first_difference, shown

    if different := first_difference(read_json(path), SETTINGS):
        name, before, now = different
        raise InputError(f"{path} was begun with {cut(name, 80)} = {shown(before)}, but this run has {shown(now)}")


def make_recipe(folder: Path) -> None:
    stages = [{"name": "a", "epochs": 2, "learning_rate": 0.1}, {"name": "b", "epochs": 3, "learning_rate": 0.1}]
    (folder / "recipe.json").write_text(json.dumps(stages))


def read_recipe(path: Path) -> None:
    from ofa.training.recipe import read_stages

    for stage in read_stages(path):
        assert 1 <= stage.epochs <= 10**6
        assert 0 < stage.learning_rate <= 1e6
        stage.draw(SPACE, np.random.default_rng(0), 2, [64])


def make_tables_toml(folder: Path) -> None:
    args = '["--space", "mbv3-w0.35", "--resolutions", "64"]'
    (folder / "tables.toml").write_text(f'[[table]]\nfile = "a.csv"\nprofiler = "cpu"\nargs = {args}\n')


def read_tables_toml(path: Path) -> None:
    from profilers.changes.tables_config import load_config
    from profilers.regenerate import PROFILERS

    for entry in load_config(path, PROFILERS):
        assert Path(entry.file).name == entry.file


# ---- agents


def make_lines(folder: Path) -> None:
    lines: list[dict[str, Any]] = [
        {"type": "hello", "protocol": 1, "agent": "a", "runtime": "r 1", "device": {"cpu_model": "Z80", "cores": []}},
        {"type": "visit", "visit": 0, "id": "b00000"},
        {"type": "heartbeat"},
        {"type": "result", "visit": 0, "id": "b00000", "samples_ns": [1000] * 20, "calls_per_sample": 1,
         "cpu_ns": [900] * 20, "temperature_c_after": 40.5},
        {"type": "error", "visit": 1, "id": "b00001", "message": "no", "reason": "busy"},
        {"type": "done"},
    ]  # fmt: skip
    (folder / "lines").write_text("".join(json.dumps(line) + "\n" for line in lines))


class AgentRefused(InputError):
    """AgentFailed, with the file's name, so that it is held to the rule of all others."""


def read_lines(path: Path) -> None:
    from profilers.measuring.conversation import checked_events
    from profilers.measuring.events import AgentFailed, Result

    lines: queue.Queue[bytes | None] = queue.Queue()
    for line in path.read_bytes().splitlines(keepends=True):
        lines.put(line)
    lines.put(None)
    try:
        for event in checked_events(lines, 600, lambda: "exited with code 1", lambda: ""):
            if isinstance(event, Result):
                assert all(0 < ns <= 86_400 * 10**9 for ns in event.samples_ns)
                json.dumps(event.record(), allow_nan=False)
    except AgentFailed as error:
        raise AgentRefused(f"{path}: {error}") from None


# ---- images and their labels


@cache
def picture() -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.arange(40 * 40 * 3, dtype=np.uint8).reshape(40, 40, 3)).save(file, "PNG")
    return file.getvalue()


def make_labels(folder: Path) -> None:
    write(folder / "images", {f"{i}.png": picture() for i in range(3)})
    (folder / "images" / "labels.csv").write_text("file,label\n0.png,a\n1.png,b\n2.png,a\n")


def make_zip(folder: Path) -> None:
    with zipfile.ZipFile(folder / "images.zip", "w") as archive:
        for label in ("a", "b"):
            archive.writestr(f"{label}/0.png", picture())


def read_images(path: Path) -> None:
    from ofa.images.files.opening import open_images
    from ofa.images.pixels.decoding import decode, unreadable

    folder = open_images(path)
    try:
        assert "".join(folder.classes).isprintable()
        assert all(-1 <= label < len(folder.classes) for label in folder.labels)
        for i in range(len(folder)):
            try:
                decode(folder.read(i))
            except unreadable():
                continue
    finally:
        folder.close()


def make_classes(folder: Path) -> None:
    (folder / "classes.txt").write_text("a 0\nb 1\n")


def read_class_file(path: Path) -> None:
    from ofa.images.classes import read_classes

    assert all(type(n) is int and n >= 0 for n in read_classes(path).values())


def make_label_names(folder: Path) -> None:
    (folder / "labels.json").write_text('["a", "b"]')


def read_label_names(path: Path) -> None:
    from ofa.export.labels import read_labels

    assert all(isinstance(name, str) and name for name in read_labels(path, 2))


# ---- what others published


def make_published(folder: Path) -> None:
    key = "expanded_conv-input:10x10x136-output:10x10x136-expand:408-kernel:3-stride:1-idskip:1-se:1-hs:1"
    (folder / "published.yaml").write_text(f"{key}: {{mean: 1.5, count: 10, std: 0.1}}\n")


def read_published(path: Path) -> None:
    from latency_tables.published_blocks import convert, read

    header = {"device": "D", "runtime": "R", "source": "S"}
    table, _ = convert({str(path): read(path)}, "mit", ["mbv3-w1.2"], header)
    assert all(np.isfinite(row.latency_ms) and row.latency_ms > 0 for row in table.rows)


FORMATS: Mapping[str, Format] = {
    "table": Format("table.csv", make_table, read_table),
    "times": Format("times.csv", make_times, read_times),
    "accuracies": Format("accuracies.csv", make_accuracies, read_accuracies),
    "predictor": Format("predictor.safetensors", make_predictor, read_predictor),
    "ensemble": Format("predictor.safetensors", make_ensemble, partial(read_predictor, space="mbv3-w1.2")),
    "mit-predictor": Format("predictor.pth", make_mit_predictor, read_predictor),
    "result": Format("result.json", make_result, read_result),
    "subnet": Format("subnet.json", make_subnet, read_one_subnet),
    "mit-subnet": Format("subnet.json", make_mit_subnet, read_one_subnet),
    "supernet": Format("supernet.safetensors", make_supernet, read_supernet),
    "network": Format("network", make_network, read_network),
    "network-file": Format("network.safetensors", make_network_file, read_network),
    "mit-network": Format("network", make_mit_network, read_network),
    "net-config": Format("network", make_net_config, read_net_config),
    "weights": Format("weights.pth", make_weights, read_weights),
    "state": Format("state.safetensors", make_state, read_training_state),
    "journal": Format("run.journal.jsonl", make_journal, read_journal),
    "run": Format("run.json", make_run, read_run),
    "recipe": Format("recipe.json", make_recipe, read_recipe),
    "tables-toml": Format("tables.toml", make_tables_toml, read_tables_toml),
    "published": Format("published.yaml", make_published, read_published),
    "lines": Format("lines", make_lines, read_lines),
    "labels": Format("images", make_labels, read_images),
    "zip": Format("images.zip", make_zip, read_images),
    "classes": Format("classes.txt", make_classes, read_class_file),
    "label-names": Format("labels.json", make_label_names, read_label_names),
}


def refusal(path: Path, read: Callable[[Path], object]) -> str | None:
    """What a reader says of a file that it refuses, None of one that it takes; whatever else it raises goes on."""
    try:
        read(path)
    except InputError as error:
        return str(error)
    return None


def fault_of(message: str, path: Path) -> str | None:
    """Why a message is not one that a user can act upon; None if it is."""
    if not message.isprintable():
        return "it is not one printable line"
    if len(message) - message.count(str(path.parent)) * len(str(path.parent)) >= 400:
        return f"it has {len(message)} characters"
    named = (path.name, path.with_suffix(".json").name)
    return None if any(name in message for name in named) else f"it does not name {path.name}"
