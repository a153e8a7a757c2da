"""Block latencies as others published them, and how their keys become blocks of ours.

Two formats, YAML or JSON, both a mapping from a key to the mean latency in ms and its spread:

mit      once-for-all's tables, one file a resolution. `expand` in a key is the middle channels where the key
         tells of squeeze-and-excite (MobileNetV3), the expand ratio where it does not (ProxylessNAS).
nsganet  the i7-8700K table of NSGANetV2, one file. `expand` is the ratio; the activation is not in the key
         and is taken from the spaces named with --space.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ofa.blocks import Block, all_blocks
from ofa.errors import InputError
from ofa.optional_packages import missing_package
from ofa.reading.numbers import CHANNELS, MILLISECONDS, SPREAD_MS, Bounds, cut, short
from ofa.reading.structured import content_of, parse_json
from ofa.space import get_space
from ofa.space.header_lines import spaces_header
from ofa.tables import LatencyTable, TableRow
from ofa.tables.shipped import shipped_tables

SIZES = tuple(range(64, 321, 4))  # pixels at which tables are published

_KEY = re.compile(
    r"(?P<kind>\w{1,40})-input:(?P<in>[0-9x]{1,20})-output:(?P<out>[0-9x]{1,20})"
    r"(?:-expand:(?P<expand>[0-9]{1,6})-kernel:(?P<kernel>[0-9]{1,2})-stride:(?P<stride>[0-9])-idskip:(?P<skip>[01]))?"
    r"(?:-se:(?P<se>[01]))?(?:-hs:(?P<hs>[01]))?"
)
# lists and mappings of a YAML file in each other: tables have two
DEEPEST = 100
RUNS = Bounds(0, 10**9, "runs")
_PLAIN_OPS = {
    "Conv": "stem",
    "first_conv": "stem",
    "Conv_1": "last conv",
    "final_expand_layer": "last conv",
    "AvgPool2D": "global_pool",
    "Conv_2": "feature_mix",
    "feature_mix_layer": "feature_mix",
    "Logits": "linear",
    "classifier": "linear",
}


def pools_first(key: str) -> bool:
    """Whether the key is of pooling and classifier measured as one."""
    match = _KEY.fullmatch(key.rstrip(":"))
    return match is not None and _PLAIN_OPS.get(match["kind"]) == "linear" and _size_and_channels(match["in"])[0] > 1


def parse_key(key: str, *, v3: bool) -> Block:
    """The block of a published key, with h-swish or ReLU6 assumed where the key does not tell.

    v3: whether the file is of MobileNetV3 (which decides stem and head activations). A classifier that pools first
    is the classifier: see `pools_first`. InputError for a key that is not understood.
    """
    match = _KEY.fullmatch(key.rstrip(":"))
    kind = match["kind"] if match else ""
    if match is None or (kind in _PLAIN_OPS) == bool(match["expand"]):
        raise InputError(f"key {short(key)} is not understood")
    in_size, in_channels = _size_and_channels(match["in"])
    _, out_channels = _size_and_channels(match["out"])
    late = "h_swish" if v3 else "relu6"
    if kind not in _PLAIN_OPS:
        expand, skip = int(match["expand"]), match["skip"] == "1"
        is_ratio = kind == "MBConv" or match["se"] is None
        mid = in_channels * expand if is_ratio else expand
        activation = {"1": "h_swish", "0": "relu", None: late}[match["hs"]]
        kernel, stride, se = int(match["kernel"]), int(match["stride"]), match["se"] == "1"
        return Block("mbconv", in_size, in_channels, mid, out_channels, kernel, stride, activation, se, skip)
    op = _PLAIN_OPS[kind]
    if op == "linear":
        return Block(op, 1, in_channels, 0, out_channels, 1, 1, "none", False, False)
    if op == "stem":
        return Block("conv", in_size, in_channels, 0, out_channels, 3, 2, late, False, False)
    if op == "global_pool":
        return Block(op, in_size, in_channels, 0, out_channels, 1, 1, "none", False, False)
    return Block("conv" if op == "last conv" else op, in_size, in_channels, 0, out_channels, 1, 1, late, False, False)


def _size_and_channels(text: str) -> tuple[int, int]:
    """ "14x14x96" -> (14, 96); "1000" -> (1, 1000)."""
    numbers = [CHANNELS.integer("a size", n) for n in text.split("x")]
    if len(numbers) == 1:
        return 1, numbers[0]
    if len(numbers) != 3 or numbers[0] != numbers[1]:
        raise InputError(f"feature map {short(text)} is not a square: HxWxC")
    return numbers[0], numbers[2]


def convert(
    sources: Mapping[str, Mapping[str, Any]], style: str, spaces: Sequence[str], header: Mapping[str, str]
) -> tuple[LatencyTable, list[str]]:
    """A table from published entries, {file: {key: {"mean", "count", "std" or "var"}}}, and the keys left out.

    A block that several files measured gets the mean weighted by runs.
    """
    gathered: dict[Block, list[tuple[float, float, int]]] = {}
    fused: dict[Block, list[tuple[float, float, int]]] = {}
    left_out: list[str] = []
    for file, entries in sources.items():
        v3 = style == "nsganet" or any("-se:" in str(key) for key in entries)
        for key, entry in entries.items():
            try:
                block = parse_key(key, v3=v3)
                spread = _number(SPREAD_MS, "var" if "var" in entry else "std", entry)
                std = math.sqrt(spread) if "var" in entry else spread
                measured = (_number(MILLISECONDS, "mean", entry), std, RUNS.whole("count", entry.get("count", 0)))
            except InputError as error:
                raise InputError(f"{file}: {short(key)}: {error}") from None
            except (KeyError, TypeError, AttributeError) as error:
                raise InputError(f"{file}: entry {short(key)} is not a mean and std (or var): {short(error)}") from None
            (fused if pools_first(key) else gathered).setdefault(block, []).append(measured)
    pooled = any(block.op == "global_pool" for block in gathered)
    if fused and not pooled:
        # the pooling's time is in the classifier's: as a block of its own it takes nothing
        gathered |= {block: measured for block, measured in fused.items() if block not in gathered}
        header = {**header, "omits": "global_pool"}
    elif fused:
        left_out += [f"{block}, which pools first" for block in fused]
    rows = [_pooled(block, measured) for block, measured in gathered.items()]
    if style == "nsganet":
        rows, unknown = _with_activation_of(rows, spaces)
        left_out += unknown
    rows.sort(key=lambda row: (row.block.op, row.block))
    stated = spaces_header(map(get_space, spaces))
    return LatencyTable({**header, **stated, "provenance": "imported"}, rows), left_out


@dataclass(frozen=True)
class SpaceFit:
    """How far a table is of a space.

    blocks: rows of the table that are blocks of the space; priced: resolutions at which no block of it is missing
    """

    blocks: int
    priced: tuple[int, ...]


def fit_of(table: LatencyTable, space_name: str) -> SpaceFit:
    """How far the table is of that space; InputError, naming a space that fits, where no row is a block of it."""
    space = get_space(space_name)
    rows = {row.block for row in table.rows}
    found = rows & set(all_blocks(space, SIZES))
    if not found:
        other = _space_of(rows)
        reason = f"they are of {other}" if other else "no width of mbv3 or proxyless has them"
        raise InputError(f"none of the {len(rows)} blocks is of {space_name}: {reason}")
    coverage = table.coverage(space, SIZES)
    return SpaceFit(len(found), tuple(sorted(coverage.complete + coverage.interpolated)))


def _space_of(blocks: set[Block]) -> str | None:
    """The space of most of the blocks, whatever their sizes; None where it would be few."""
    shapes = {replace(block, in_size=1) for block in blocks if block.op == "mbconv"}
    names = [f"{family}-w{round(width / 20, 2)}" for family in ("mbv3", "proxyless") for width in range(2, 61)]
    share = {name: len(shapes & {replace(b, in_size=1) for b in all_blocks(get_space(name), [224])}) for name in names}
    best = max(share, key=lambda name: share[name])
    return best if 2 * share[best] > len(shapes) > 0 else None


def copies(table: LatencyTable) -> tuple[str, int] | None:
    """A shipped table of another device, and how many of its latencies this one has to the digit; None without any."""
    own = {row.block: row.latency_ms for row in table.rows}
    found: dict[str, int] = {}
    for name, path in shipped_tables().items():
        other = LatencyTable.load(path)
        if other.device != table.device:
            found[name] = sum(own.get(row.block) == row.latency_ms for row in other.rows)
    name = max(found, key=lambda key: found[key])
    return (name, found[name]) if found[name] > 1 else None


def _number(bounds: Bounds, name: str, entry: Mapping[str, Any]) -> float:
    """YAML takes 1e-3, without a dot, for text."""
    value = entry[name]
    return bounds.decimal(name, value) if isinstance(value, str) else bounds.check(name, value)


def _pooled(block: Block, measured: Sequence[tuple[float, float, int]]) -> TableRow:
    """Mean and standard deviation of all runs together, from those of each file."""
    weights = [count or 1 for _, _, count in measured]
    mean = sum(w * m for w, (m, _, _) in zip(weights, measured, strict=True)) / sum(weights)
    second = sum(w * (s**2 + m**2) for w, (m, s, _) in zip(weights, measured, strict=True)) / sum(weights)
    runs = sum(count for _, _, count in measured)
    std = math.sqrt(max(0.0, second - mean**2))
    return TableRow(block, float(f"{mean:.6g}"), std_ms=float(f"{std:.4g}"), runs=runs or None)


def _with_activation_of(rows: Iterable[TableRow], spaces: Sequence[str]) -> tuple[list[TableRow], list[str]]:
    """The rows with the activation that their block has in the spaces; blocks of none of them are left out."""
    activations: dict[Block, str] = {}
    for name in spaces:
        for block in all_blocks(get_space(name), SIZES):
            activations[replace(block, activation="none")] = block.activation
    known, unknown = [], []
    for row in rows:
        activation = activations.get(replace(row.block, activation="none"))
        if activation is None:
            unknown.append(str(row.block))
        else:
            known.append(replace(row, block=replace(row.block, activation=activation)))
    return known, unknown


def read(path: Path) -> Mapping[str, Any]:
    """The entries of a published file, {key: {"mean", ...}}; InputError for what is no such file."""
    loaded = parse_json(content_of(path), path) if path.suffix == ".json" else _yaml(path)
    if not isinstance(loaded, dict) or not loaded:
        raise InputError(f"{path}: not a mapping from block keys to latencies")
    return loaded


def _depth(events: Iterable[object]) -> int:
    """How deep lists and mappings lie in each other, as far as DEEPEST."""
    depth = most = 0
    for event in events:
        name = type(event).__name__
        depth += name.endswith("StartEvent") - name.endswith("EndEvent")
        most = max(most, depth)
        if most > DEEPEST:
            break
    return most


def _yaml(path: Path) -> Any:
    try:
        import yaml
    except ImportError:
        raise missing_package("yaml", "reading YAML") from None
    try:
        text = content_of(path).decode("utf-8")
        # libyaml is several times faster, but recurses until the process dies
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        if _depth(yaml.parse(text, Loader=loader)) > DEEPEST:
            raise RecursionError
        return yaml.load(text, Loader=loader)  # either is a safe one
    except UnicodeDecodeError:
        raise InputError(f"{path}: not YAML or JSON text") from None
    except RecursionError:
        raise InputError(f"{path}: not YAML: lists are nested too deeply") from None
    except (yaml.YAMLError, ValueError, TypeError) as error:  # dates that are none, integers of 5,000 digits
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: not YAML: {cut(' '.join(str(error).split()), 250)}") from None
