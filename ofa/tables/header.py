"""The `# key: value` lines of a latency table: which must be there, what they may say, near misses of their names."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from ofa.blocks import OPERATORS
from ofa.errors import InputError
from ofa.reading.csv_text import near_miss
from ofa.reading.numbers import MILLISECONDS, Bounds, short
from ofa.tables.control_networks import CONTROL_NETWORKS
from ofa.tables.margin import SUSTAINED_KEYS
from ofa.tables.uncertainty import UNCERTAINTY_KEYS

# how blocks were timed: in networks, where they stand, or each alone, again and again
TIMINGS = ("in place", "warm")
PROVENANCES = ("measured", "estimated", "imported")
REQUIRED = ("device", "runtime", "provenance", "space", "source")
BATCH = Bounds(1, 999_999, "images")
# what is known of the error of the sums, and which sums those are (`LatencyTable.sums`)
ERROR, ERROR_SUMS = "expected_error", "expected_error_sums"
# "1.3 to 14.6": the latencies, ms, of the networks that the sums were compared with
ERROR_MS = "expected_error_ms"
# what whole networks said of one device's sums
OF_SUMS = ("sum_correction", ERROR, ERROR_SUMS, ERROR_MS)
# what an estimated table's header says of its networks: "10 of mbv3-w1.0, 128 to 224 px, 4.1 to 31 ms"
_NUMBER = r"([0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]{1,2})?)"
_TIMED = re.compile(f"{_NUMBER} to {_NUMBER} px, {_NUMBER} to {_NUMBER} ms")
_CHECKED = re.compile(f"{_NUMBER} to {_NUMBER}")
# of the spaces that it names, the hashes of their descriptions; the descriptions of those that are not ours
SPACES_SHA256, SPACE_DESCRIPTIONS = "space_sha256", "space_description"
PINNED = "pinned"  # "no": the processor's cores took turns
# types of the networks behind a table, as profilers write them; a source may not say, or use another word
INT8, FLOATS = "int8", ("float32", "fp32", "tf32", "fp16", "bf16")
NOT_STATED = ("not stated by the source", "not known")
# Read by a program, so that a misspelt one would be passed over in silence. Any other key is a remark.
READ = (
    *("schema", "rows", "resolutions", "batch", "omits", "emulated", "sum_correction", ERROR, ERROR_MS, "timing"),
    *("energy_blocks", "energy_error_pct", "standard_error_pct", "failed_blocks", "soc", "threads", "dtype", "agent"),
    PINNED,
    *("margin_networks", "margin_split_ms", "margin_fast", "margin_slow", "margin_rests_on"),
    *("margin_sums", "margin_space", ERROR_SUMS, CONTROL_NETWORKS, SPACES_SHA256, SPACE_DESCRIPTIONS),
    *SUSTAINED_KEYS,
    *UNCERTAINTY_KEYS,
)
# Remarks of our own that resemble some of these
_REMARKS = (
    *("when", "tool", "mode", "os", "cpus", "cuda", "nvml", "inputs", "networks", "command", "python"),
    *("margin_95", "margin_checked"),
)
_KNOWN = (*REQUIRED, *READ, *_REMARKS)


@dataclass(frozen=True)
class KnownRange:
    """Of which networks the error of a table's sums is known: their latencies, ms, and their resolutions, pixels.

    timed: whether an estimated table rests on them; else sums of a measured one were compared with them
    """

    fast_ms: float
    slow_ms: float
    timed: bool = False
    small_px: float = 0
    large_px: float = math.inf

    @classmethod
    def parse(cls, header: Mapping[str, str], name: str) -> KnownRange | None:
        """Of a table's header; None where it does not tell. InputError, beginning with `name`, where it is damaged."""
        if ERROR_MS in header:
            stated = _CHECKED.fullmatch(header[ERROR_MS])
            ends = (
                [MILLISECONDS.decimal(f"{name}: header {ERROR_MS}", text) for text in stated.groups()] if stated else []
            )
            if not ends or ends[0] > ends[1]:
                raise InputError(
                    f"{name}: header {ERROR_MS} is {short(header[ERROR_MS])}, expected such as 1.3 to 14.6"
                )
            return cls(ends[0], ends[1])
        timed = _TIMED.search(header.get("networks", "")) if header.get("provenance") == "estimated" else None
        if timed is None:
            return None
        small, large, fast, slow = map(float, timed.groups())
        return cls(fast, slow, timed=True, small_px=small, large_px=large)

    def holds(self, latency_ms: float, resolution: int) -> bool:
        """Whether a network is among these."""
        return self.fast_ms <= latency_ms <= self.slow_ms and self.small_px <= resolution <= self.large_px

    def __str__(self) -> str:
        px = f"{self.small_px:g} px" if self.small_px == self.large_px else f"{self.small_px:g} to {self.large_px:g} px"
        return f"{px}, " * (self.large_px < math.inf) + f"{self.fast_ms:g} to {self.slow_ms:g} ms"


def check_header(name: str, header: Mapping[str, str]) -> None:
    """InputError, beginning with `name`, unless the header can be trusted and written."""
    for key in header:
        meant = near_miss(key, _KNOWN)
        if meant in (*REQUIRED, *READ):
            raise InputError(f"{name}: header key {short(key)}: did you mean {meant}?")
    for key in REQUIRED:
        if not header.get(key):
            raise InputError(f"{name}: header has no '# {key}: ...' line")
    if header["provenance"] not in PROVENANCES:
        raise InputError(
            f"{name}: provenance is {short(header['provenance'])}, expected one of {', '.join(PROVENANCES)}"
        )
    if (timing := header.get("timing", "warm")) not in TIMINGS:
        raise InputError(f"{name}: header timing is {short(timing)}, expected one of {', '.join(TIMINGS)}")
    if meant := near_miss(header.get("dtype", INT8), (INT8, *FLOATS)):
        raise InputError(f"{name}: header dtype is {short(header['dtype'])}: did you mean {meant}?")
    BATCH.integer(f"{name}: header batch", header.get("batch", "1"))
    for key in ("emulated", PINNED):
        if (value := header.get(key, "no")) not in ("yes", "no"):
            raise InputError(f"{name}: header {key} is {short(value)}, expected yes or no")
    for op in omitted(header):
        if op not in OPERATORS:
            raise InputError(f"{name}: header omits {short(op)}, expected some of {', '.join(OPERATORS)}")
    # what `profilers.validate` writes is the error of corrected sums
    if header.get("expected_error", "").startswith("MAPE") and "sum_correction" not in header:
        raise InputError(
            f"{name}: header expected_error is of corrected sums, but there is no sum_correction: put that line back, "
            "or take expected_error out"
        )
    for key, value in header.items():
        if ":" in key or not (key + value).isprintable() or key != key.strip() or value != value.strip():
            raise InputError(
                f"{name}: header line {short(key)}: {short(value)} cannot be written on one '# key: value' line"
            )


def omitted(header: Mapping[str, str]) -> tuple[str, ...]:
    """Ops that the header says the source never listed."""
    return tuple(op.strip() for op in header.get("omits", "").split(",") if op.strip())
