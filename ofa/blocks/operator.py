"""What a block operator is: the steps that it takes, from which everything that depends on the operator is derived.

Costs (`ofa.blocks.costs`), a cost model's terms (`profilers.estimating`), graphs (`ofa.graph`), layers of networks, at
full and at elastic size, channel sorting (`ofa.networks`) and folding (`ofa.export`) all walk the same steps. Each
knows the kinds of steps; none knows an operator.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ofa.errors import InputError

if TYPE_CHECKING:
    from ofa.blocks.block import Block

KINDS = ("conv", "mix", "linear", "squeeze_excite", "add", "shuffle", "max_pool", "average_pool", "global_pool")
INPUT = 0  # the value that a block is given


@dataclass(frozen=True)
class Step:
    """One step of a block. The i-th from 0 computes the value i + 1; the last one's is the block's output.

    kind: "conv": convolution with padding kernel_size // 2 on every side, batch normalisation, activation
        "mix": 1x1 convolution of pooled features, activation; no normalisation
        "linear": with bias, of flat features
        "squeeze_excite": a gate for each channel, computed from all channels' means over `hidden` channels, which have
            the activation
        "add": the sum of two values, activation
        "shuffle": channels in another order, so that each of `groups` is spread over all of them (Zhang et al. 2018)
        "max_pool": 3 x 3, padding 1; "average_pool": 2 x 2, at odd sizes over what is there; both of stride 2
        "global_pool": average to one pixel
    inputs: the values that it reads; spent: those of them that no later step reads
    in_channels: of the first input; channels: of the output
    name: of its weights in graphs, "" where it has none
    at: of its module in a network's layer, and so of its tensors in checkpoints; "" where they are the layer's own
    depthwise: a convolution of each channel by itself
    groups: of a convolution that is not depthwise: channels that it computes apart from each other; of a shuffle
    hidden: channels inside squeeze-and-excite; gate: what its gates go through, "hard_sigmoid" or "sigmoid"
    bias: whether a mix has one; convolutions have that of their batch normalisation, linear layers always have one
    shortcut: beside the main path: its modules come last, and its memory is counted as if it ran as late as it can
    """

    kind: str
    inputs: tuple[int, ...]
    in_channels: int
    channels: int
    name: str = ""
    at: str = ""
    kernel_size: int = 1
    stride: int = 1
    activation: str = "none"
    depthwise: bool = False
    groups: int = 1
    hidden: int = 0
    gate: str = ""
    bias: bool = False
    shortcut: bool = False
    spent: tuple[int, ...] = ()

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """Of a conv and mix (out, in / groups, k, k); of a linear (out, in)."""
        fan_in = 1 if self.depthwise else self.in_channels // self.groups
        return (self.channels, fan_in) + (() if self.kind == "linear" else (self.kernel_size, self.kernel_size))


class Steps:
    """Collects the steps of a block. Every method adds one and returns the number of its value.

    name, at: of the weights in graphs, and in networks (as in graphs, if not given)
    ValueError for what no block can do: two layers of one name, a sum or a depthwise convolution of unequal channels,
    channels that groups do not divide.
    """

    def __init__(self, in_channels: int) -> None:
        self.steps: list[Step] = []
        self._channels = [in_channels]

    def conv(
        self,
        name: str,
        x: int,
        channels: int,
        kernel_size: int = 1,
        stride: int = 1,
        activation: str = "none",
        *,
        depthwise: bool = False,
        groups: int = 1,
        shortcut: bool = False,
        at: str | None = None,
    ) -> int:
        return self._add(
            "conv", (x,), channels, name=name, at=at, kernel_size=kernel_size, stride=stride, activation=activation,
            depthwise=depthwise, groups=groups, shortcut=shortcut,
        )  # fmt: skip

    def mix(
        self, name: str, x: int, channels: int, activation: str, *, bias: bool = False, at: str | None = None
    ) -> int:
        return self._add("mix", (x,), channels, name=name, at=at, activation=activation, bias=bias)

    def linear(self, name: str, x: int, channels: int, *, at: str | None = None) -> int:
        return self._add("linear", (x,), channels, name=name, at=at)

    def squeeze_excite(
        self, name: str, x: int, hidden: int, activation: str = "relu", gate: str = "hard_sigmoid"
    ) -> int:
        return self._add(
            "squeeze_excite", (x,), self._channels[x], name=name, hidden=hidden, activation=activation, gate=gate
        )

    def add(self, a: int, b: int, activation: str = "none") -> int:
        return self._add("add", (a, b), self._channels[a], activation=activation)

    def shuffle(self, x: int, groups: int) -> int:
        return self._add("shuffle", (x,), self._channels[x], groups=groups)

    def max_pool(self, x: int) -> int:
        return self._add("max_pool", (x,), self._channels[x], stride=2)

    def average_pool(self, x: int, *, shortcut: bool = False) -> int:
        return self._add("average_pool", (x,), self._channels[x], stride=2, shortcut=shortcut)

    def global_pool(self, x: int) -> int:
        return self._add("global_pool", (x,), self._channels[x])

    def _add(
        self, kind: str, inputs: tuple[int, ...], channels: int, *, name: str = "", at: str | None = None, **fields: Any
    ) -> int:
        at = name if at is None else at
        step = Step(kind, inputs, self._channels[inputs[0]], channels, name, at, **fields)
        if name and any(other.name and (other.name == name or other.at == at) for other in self.steps):
            raise ValueError(f"two layers of a block are called {name}")
        given = {self._channels[i] for i in inputs} | ({channels} if step.depthwise else set())
        if len(given) > 1:
            raise ValueError(f"{name or kind} has {' and '.join(map(str, sorted(given)))} channels, expected as many")
        if undivided := [c for c in (step.in_channels, channels) if c % step.groups]:
            raise ValueError(f"{name or kind} has {undivided[0]} channels, expected a multiple of {step.groups}")
        self.steps.append(step)
        self._channels.append(channels)
        return len(self.steps)

    def finish(self) -> tuple[Step, ...]:
        """All steps, each with what it reads last."""
        finished: list[Step] = []
        later: set[int] = set()
        for step in reversed(self.steps):
            finished.append(replace(step, spent=tuple(dict.fromkeys(i for i in step.inputs if i not in later))))
            later.update(step.inputs)
        return tuple(reversed(finished))


@dataclass(frozen=True, eq=False)
class Operator:
    """A block operator.

    name: the value of `Block.op`
    describe: adds the steps of a block. It must not look at in_size: networks run their blocks at any
    has_inside: whether it uses mid_channels (at least 1), which are 0 otherwise
    one_pixel: whether its output is a single pixel
    groups: what all its channels must be multiples of
    fixed: fields of the key that it has no choice in. A key that claims otherwise would be timed as what it is not
    """

    name: str
    describe: Callable[[Block, Steps], object]
    has_inside: bool = False
    one_pixel: bool = False
    groups: int = 1
    fixed: Mapping[str, object] = field(default_factory=dict)
    _known: dict[tuple[object, ...], tuple[Step, ...]] = field(default_factory=dict, init=False, repr=False)

    def steps(self, block: Block) -> tuple[Step, ...]:
        """The steps of a block of this operator, made once for all its sizes."""
        b = block
        channels = (b.in_channels, b.mid_channels, b.out_channels)
        shape = (*channels, b.kernel_size, b.stride, b.activation, b.squeeze_excite, b.skip)
        found = self._known.get(shape)
        if found is None:
            steps = Steps(block.in_channels)
            self.describe(replace(block, in_size=1), steps)
            found = self._known[shape] = steps.finish()
        return found

    def check(self, block: Block) -> None:
        """InputError for a block whose fields claim what the operator does not compute."""
        for name, only in {**self.fixed, "out_channels": self.steps(block)[-1].channels}.items():
            if getattr(block, name) != only:
                raise InputError(f"block {block}: {name} is {getattr(block, name)}, but {self.name} has only {only}")
