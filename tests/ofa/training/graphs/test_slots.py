"""Blocks recorded and replayed, by a recorder that stands in CUDA's place, against blocks that just run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from ofa.blocks import Block
from ofa.errors import InputError
from ofa.networks import build_supernet
from ofa.networks.elastic import Normalise, RunBlock, Take, run_elastic
from ofa.networks.supernet import Supernet
from ofa.runs.processes import Processes
from ofa.space import SearchSpace, get_space
from ofa.train.__main__ import main
from ofa.train.config import TrainConfig
from ofa.training.draws import Draws
from ofa.training.graphs import slots
from ofa.training.graphs.chosen import chosen_graphs
from ofa.training.graphs.slots import SlotGraphs
from ofa.training.loop import Training
from ofa.training.precision import Precision
from ofa.training.recipe import Stage
from ofa.training.schedule import Plan
from ofa.training.step import SupernetStep, supernet_run
from tests.helpers.interrupted import assert_same
from tests.helpers.programs import ended
from tests.helpers.supernets import TINY, lively
from tests.ofa.training.graphs.fake_recorder import FakeRecorder

CPU = torch.device("cpu")
SPACES = {
    "described": lambda: get_space(str(TINY), 7),
    "mbv3": lambda: get_space("mbv3-w0.25", 7),
    "resnet": lambda: get_space("resnet50d", 7, (0.1, 0.15)),
}
STAGES = {
    "one": Stage("one", 1, 0.1, subnets=1),
    "sandwich": Stage("sandwich", 1, 0.05, subnets=3, sandwich=True),
    "taught": Stage("taught", 1, 0.05, subnets=2, distill=1.0),
}
TWO = Stage("two", 1, 0.05, subnets=2)


@dataclass
class Run:
    """A training of so many steps; recorder: of graphs, if there are any; largest: side that graphs wait for"""

    space: SearchSpace
    stage: Stage
    recorder: FakeRecorder | None = None
    precision: str = "fp32"
    resolutions: tuple[int, ...] = (40, 32)
    steps: int = 8
    largest: int = 40
    clip_norm: float = 0.0
    seed: int = 3
    warnings: list[str] = field(default_factory=list)
    graphs: list[SlotGraphs] = field(default_factory=list)

    def training(self, folder: Path) -> tuple[Training, SupernetStep]:
        net = lively(self.space).train()
        how = Precision(self.precision, CPU)
        if how.scaler is not None:
            how.scaler = torch.amp.GradScaler("cpu", init_scale=16.0)
        torch.manual_seed(1)
        teacher = build_supernet(self.space, 0.0).requires_grad_(False) if self.stage.distill else None
        plan = Plan(1, self.steps, 0.02, weight_decay=0.01, clip_norm=self.clip_norm, ema=0.5)
        if self.recorder:
            self.graphs = [SlotGraphs(self.recorder, self.largest, self.warnings.append) for _ in range(2)]
        blocks, taught = self.graphs or [run_elastic] * 2
        draws = Draws(self.space, self.stage, self.resolutions, self.seed)
        step = SupernetStep(supernet_run(net, None, blocks), self.stage, draws, how, teacher, run_teacher=taught)
        return Training(net, plan, folder, {}, Processes(0, 1, CPU), precision=how), step

    def batches(self, first: int, last: int) -> Iterator[tuple[Tensor, Tensor]]:
        for n in range(first, last):
            generator = torch.Generator().manual_seed(n)
            side = Draws(self.space, self.stage, self.resolutions, self.seed).resolution(n)
            yield torch.randn(4, 3, side, side, generator=generator), torch.arange(4)


class Never:
    def is_set(self) -> bool:
        return False


def left_by(training: Training) -> dict[str, Tensor]:
    """Weights, statistics, momentum, averages, gradients, and the sums of losses."""
    found = {
        **training.net.state_dict(),
        "sums": training._sums,
        **{f"ema {k}": v for k, v in training._average.items()},
    }
    for name, parameter in training.net.named_parameters():
        found[f"momentum {name}"] = training.optimizer.state[parameter]["momentum_buffer"]
        if parameter.grad is not None:
            found[f"grad {name}"] = parameter.grad
    return {name: tensor.clone() for name, tensor in found.items()}


def trained(run: Run, folder: Path, first: int = 0, last: int | None = None) -> dict[str, Tensor]:
    """What steps leave, from the checkpoint in the folder on, if there is one."""
    training, step = run.training(folder)
    training.resume()
    for images, labels in run.batches(first, run.steps if last is None else last):
        training._one_step(images, labels, step, Never())  # type: ignore[arg-type]
    training.save()
    return left_by(training)


CASES = [("described", stage, precision) for stage in STAGES for precision in ("fp32", "bf16", "fp16")]
CASES += [
    ("mbv3", "taught", "bf16"),
    ("mbv3", "sandwich", "fp32"),
    ("resnet", "one", "fp16"),
    ("resnet", "taught", "fp32"),
]


@pytest.mark.parametrize(("family", "stage", "precision"), CASES)
def test_training_is_the_same_to_the_bit(family: str, stage: str, precision: str, tmp_path: Path) -> None:
    """Of different sub-networks and resolutions; so are what untouched weights have: no gradient, no decay."""
    space, recorder = SPACES[family](), FakeRecorder()
    clip = 1.0 if stage == "taught" else 0.0
    expected = trained(Run(space, STAGES[stage], None, precision, clip_norm=clip), tmp_path / "plain")
    run = Run(space, STAGES[stage], recorder, precision, clip_norm=clip)
    assert_same(trained(run, tmp_path / "graphs"), expected)
    assert run.warnings == []
    assert recorder.replays > 50
    assert any(name.startswith("grad") for name in expected)


def test_a_run_goes_on_with_graphs_or_without(tmp_path: Path) -> None:
    space = SPACES["described"]()
    expected = trained(Run(space, TWO), tmp_path / "whole")
    for before, after in ((FakeRecorder(), None), (None, FakeRecorder()), (FakeRecorder(), FakeRecorder())):
        folder = tmp_path / f"{before is None}{after is None}"
        trained(Run(space, TWO, before), folder, 0, 4)
        assert_same(trained(Run(space, TWO, after), folder, 4), expected)


def test_what_cannot_be_recorded_runs_without_and_is_told_once(tmp_path: Path) -> None:
    space = SPACES["described"]()
    expected = trained(Run(space, TWO), tmp_path / "plain")
    for name, fails in {"all": lambda _: True, "some": lambda n: n % 3 == 1}.items():
        recorder = FakeRecorder(fails=fails)
        run = Run(space, TWO, recorder)
        assert_same(trained(run, tmp_path / name), expected)
        assert run.warnings == [
            "a CUDA graph could not be recorded (CUDA out of memory. Tried to allocate 20.00 MiB): some blocks run "
            "without, which is slower and as exact"
        ]
        assert (recorder.replays > 0) == (name == "some")
        if name == "all":  # a slot is tried once
            assert 0 < len(recorder.recordings) <= len(run.graphs[0]._slots)


def test_without_room_nothing_is_recorded(tmp_path: Path) -> None:
    space, recorder = SPACES["described"](), FakeRecorder(room=False)
    run = Run(space, TWO, recorder)
    assert_same(trained(run, tmp_path / "graphs"), trained(Run(space, TWO), tmp_path / "plain"))
    assert recorder.recordings == []
    assert run.warnings == [
        "the GPU's memory has no room for more CUDA graphs: some blocks run without, which is slower and as exact"
    ]


def test_of_many_choices_those_last_used_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    space, recorder = SPACES["described"](), FakeRecorder()
    monkeypatch.setattr(slots, "MOST", 2)
    run = Run(space, TWO, recorder, steps=16)
    assert_same(trained(run, tmp_path / "graphs"), trained(Run(space, TWO, steps=16), tmp_path / "plain"))
    assert max(len(slot.recorded) for slot in run.graphs[0]._slots.values()) == 2
    assert recorder.settled > 0


def test_what_was_replayed_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three precisions where there is room for two, the one that was not used for longest goes."""
    monkeypatch.setattr(slots, "MOST", 2)
    net, recorder = lively(SPACES["described"]()).train(), FakeRecorder()
    graphs = SlotGraphs(recorder, 32, print)

    def recorded_by(dtype: torch.dtype, enabled: bool = True) -> int:
        before = len(recorder.recordings)
        with torch.autocast("cpu", dtype, enabled=enabled):
            out = _once(net, graphs)
        out.backward()
        return len(recorder.recordings) - before

    whole, bf16, fp16 = (torch.bfloat16, False), (torch.bfloat16,), (torch.float16,)
    found = [recorded_by(*how) > 0 for how in (whole, whole, bf16, bf16, whole, fp16, fp16, whole, bf16)]
    assert found == [False, True, False, True, False, False, True, False, True]


def test_larger_images_than_expected_move_the_places(tmp_path: Path) -> None:
    """Graphs that point to where they were are dropped: they would keep that memory."""
    space, recorder = SPACES["described"](), FakeRecorder()
    sides = {"resolutions": (32, 40, 48), "seed": 25, "steps": 16}  # 48 comes as the tenth
    run, plain = Run(space, TWO, recorder, largest=32, **sides), Run(space, TWO, **sides)
    assert_same(trained(run, tmp_path / "graphs"), trained(plain, tmp_path / "plain"))
    assert recorder.settled > 0
    for slot in run.graphs[0]._slots.values():
        for place, of in ((slot.x, "x"), (slot.out, "out"), (run.graphs[0]._gradient, "grad_out")):
            used = {getattr(recorded, of).untyped_storage().data_ptr() for recorded in slot.recorded.values()}
            assert used <= {place._memory.untyped_storage().data_ptr()}


def test_nothing_is_recorded_before_the_largest_images_came(tmp_path: Path) -> None:
    recorder = FakeRecorder()
    trained(Run(SPACES["described"](), TWO, recorder, largest=41), tmp_path)
    assert recorder.recordings == []


def _once(net: Supernet, graphs: RunBlock) -> Tensor:
    """The sum of what the largest sub-network's last block gives, before the classifier."""
    found: list[Tensor] = []

    def run_block(layer: nn.Module, x: Tensor, block: Block, normalise: Normalise, take: Take) -> Tensor:
        found.append(x)
        return graphs(layer, x, block, normalise, take)

    subnet = net.space.decode(Stage("all", 1, 0.1).largest(net.space, 32))[0]
    supernet_run(net, None, run_block)(torch.randn(4, 3, 32, 32), subnet)
    return found[-1].sum()


def test_a_backward_pass_follows_its_forward_pass_once() -> None:
    net, graphs = lively(SPACES["described"]()).train(), SlotGraphs(FakeRecorder(), 32, print)
    for _ in range(3):
        _once(net, graphs).backward()
    before, _ = _once(net, graphs), _once(net, graphs)
    with pytest.raises(RuntimeError, match="ran again before its backward pass"):
        before.backward()
    after = _once(net, graphs)
    after.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="ran again before its backward pass"):
        after.backward()


def test_what_ran_without_gradients_is_recorded_apart() -> None:
    net, graphs = lively(SPACES["described"]()).train(), SlotGraphs(FakeRecorder(), 32, print)
    for _ in range(3):
        with torch.no_grad():
            _once(net, graphs)
    for _ in range(3):
        net.zero_grad(set_to_none=True)
        _once(net, graphs).backward()
    without = {
        name.split(".")[0] for name, weight in net.named_parameters() if weight.grad is None and weight.ndim != 2
    }
    assert without == {"classifier"}  # besides, the largest kernels need no matrices


def test_each_precision_is_recorded_apart() -> None:
    net, graphs = lively(SPACES["described"]()).train(), SlotGraphs(FakeRecorder(), 32, print)
    for half in (False, False, False, True, True, False, True):
        sums = []
        for blocks in (graphs, run_elastic):
            torch.manual_seed(0)
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                sums.append(_once(net, blocks))
            sums[-1].backward()
        assert torch.equal(*sums)


def test_a_recording_shares_no_node_with_a_step_whose_loss_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """CUDA would refuse to record what such a node belongs to: the stream of the earlier step."""
    net, graphs = lively(SPACES["described"]()).train(), SlotGraphs(FakeRecorder(), 32, print)
    leaves: list[Tensor] = []
    kept = [_once(net, graphs)]
    kept[0].backward()
    inner = slots._leaves
    monkeypatch.setattr(slots, "_leaves", lambda out: leaves.extend(found := inner(out)) or found)
    kept.append(_once(net, graphs))
    weights = set(net.parameters())
    assert len(leaves) > 20
    assert not weights & set(leaves)
    assert weights == set(net.parameters())


def test_graphs_are_for_gpus(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cpu, gpu, two = (
        Processes(0, 1, CPU),
        Processes(0, 1, torch.device("cuda:0")),
        Processes(0, 2, torch.device("cuda:0")),
    )
    chosen = {
        (a, p.device.type, p.count): chosen_graphs(a, p, "sync") for a in ("auto", "off") for p in (cpu, gpu, two)
    }
    assert [key for key, on in chosen.items() if on] == [("auto", "cuda", 1)]
    assert chosen_graphs("on", gpu, "sync")
    assert chosen_graphs("on", two, "local")
    with pytest.raises(InputError, match="give --bn local or --graphs off"):
        chosen_graphs("on", two, "sync")
    for n in range(2):
        (tmp_path / "images" / str(n)).mkdir(parents=True)
        for i in range(8):
            torch_image(tmp_path / "images" / str(n) / f"{i}.png", 10 * n + i)
    command = ["--data", tmp_path / "images", "--device", "cpu", "--out", tmp_path / "out", "--batch-size", 4]
    refused = ended(main, capsys, *command, "--graphs", "on")
    assert refused.returncode == 2
    assert "--graphs on needs a GPU, the device is cpu: give --graphs auto or off" in refused.stderr
    assert not (tmp_path / "out").exists()


def torch_image(path: Path, shade: int) -> None:
    from PIL import Image

    Image.new("RGB", (48, 48), (shade, shade, shade)).save(path)


def test_a_run_with_graphs_is_the_run_without(tmp_path: Path) -> None:
    """Its results are the same: --resume may change it."""
    from ofa.runs.settings import identity_of

    (tmp_path / "a").mkdir()
    configs = [TrainConfig(data=tmp_path, out=tmp_path / "out", graphs=graphs) for graphs in ("auto", "off", "on")]
    assert identity_of(configs[0]) == identity_of(configs[1]) == identity_of(configs[2])
