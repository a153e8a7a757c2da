"""`python -m profilers.gpu`: measures every block of a space on an NVIDIA GPU into a latency table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from ofa.cli.command import Command
from ofa.cli.config import Option
from ofa.errors import UsageError
from profilers.profiling.command_words import command_line
from profilers.profiling.profile_options import InPlaceOptions, OptionalVisits, ProfileOptions


@dataclass(frozen=True, kw_only=True)
class GpuConfig(InPlaceOptions, ProfileOptions):
    """Measure every block of a search space on an NVIDIA GPU into a latency table.

    On an H200, 284 blocks took 39 s at batch 64 and 67 s at batch 1 (fp16, --quick). --energy adds an estimated 0.6 s
    for each block.
    """

    PANEL: ClassVar[str] = "GPU"

    device: Annotated[str, Option(metavar="D")] = "cuda:0"
    """which GPU; several, such as cuda:0,cuda:1, share the rounds, and their tables are merged if they agree; cpu only
    serves to test this command"""

    runtime: Literal["torch", "onnxruntime-cuda", "tensorrt"] = "torch"
    """torch; or onnxruntime's provider for CUDA or for TensorRT, which run ONNX files (never yet tried on a GPU)"""

    dtype: Literal["fp32", "tf32", "fp16", "bf16"] = "fp16"
    """number format of weights and images; bf16 is for --runtime torch"""

    mode: Literal["graph", "eager", "compile"] = "graph"
    """graph: replay CUDA graphs; eager: launch operators (of torch, ATen's: no nn.Modules) one by one; compile:
    torch.compile, then graphs, which takes seconds for every block"""

    # in channels-last cuDNN plans every depthwise shape anew, 0.6 s each on an H200 (docs/gpus.md)
    memory_format: Literal["channels-last", "contiguous"] = "contiguous"
    """layout of images and weights; measure in the layout that you deploy: depthwise convolutions were 1.6 to 3.7 times
    as fast channels-last, after 0.6 s for every new shape; contiguous is PyTorch's default"""

    inputs: Literal["cold", "warm"] | None = None
    """cold: different inputs in turn, together larger than the L2 cache; warm: one input (default: cold; for the other
    runtimes than torch, warm)"""

    timing: Annotated[Literal["in-place", "warm"] | None, Option(metavar="T")] = None
    """in-place: time each block inside networks, after the blocks before it; warm: time each alone (default: in-place;
    for --runtime torch, which runs no network in parts, and with --limit, warm)"""

    rounds: OptionalVisits = None
    """visits of each block, spread over time (default: 3, with --quick 2)"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.timing == "in-place" and self.runtime == "torch":
            raise UsageError("--runtime torch times blocks alone: --timing in-place is for the other runtimes")

    @property
    def in_place(self) -> bool:
        return super().in_place and self.runtime != "torch"

    @property
    def asked(self) -> dict[str, str]:
        """The fields of the agent's manifest by which the same can be measured again."""
        inputs = self.inputs or ("cold" if self.runtime == "torch" else "warm")
        return {"dtype": self.dtype, "mode": self.mode, "memory_format": self.memory_format, "inputs": inputs}


COMMAND = Command(
    "profilers.gpu",
    GpuConfig,
    "--device cuda:0 --batch-size 64 --dtype fp16 --space proxyless-w1.3 --out my-gpu.csv",
)


def main(argv: Sequence[str] | None = None) -> int:
    return profile_gpu(COMMAND.parse(argv), argv, command_line("profilers.gpu", argv))


def profile_gpu(config: GpuConfig, argv: Sequence[str] | None, command: str) -> int:
    """Measures a space on one GPU, or on each of several by a process that is given argv; 1 if blocks failed.

    command: as typed, for the table's header
    """
    from profilers.devices.nvidia import PACE, check_asked, check_provider, found_devices, gpu_target
    from profilers.profiling.merge import profile_on_each
    from profilers.profiling.profile import profile

    check_asked(config.runtime, config.asked)
    devices = found_devices(config.device, config.runtime)
    check_provider(config.runtime, devices[0])
    if len(devices) > 1:
        rounds = config.rounds or (PACE.quick_rounds if config.quick else PACE.rounds)
        return profile_on_each(config, "profilers.gpu", argv, devices, rounds, command)
    target = gpu_target(
        devices[0], config.asked, config.batch_size, config.timeout, config.runtime, in_place=config.in_place
    )
    return profile(config, target, command)


if __name__ == "__main__":
    from ofa.cli.run import run

    run(main)
