"""The slider of limits on a page: from the cheapest network to the dearest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ofa.report.parts.devices import DeviceFindings

FAR = 3  # times what the dearest network costs


@dataclass(frozen=True)
class Slider:
    """id: on the page; the other figures are ms, or mJ: multiples of step"""

    id: str
    least: float
    most: float
    step: float
    start: float

    @property
    def decimals(self) -> int:
        """That a value needs."""
        return max(0, -math.floor(math.log10(self.step) + 1e-9))

    def text(self, value: float) -> str:
        """As an attribute of the page."""
        return f"{value:.{self.decimals}f}"


def slider_of(findings: DeviceFindings, number: int) -> Slider:
    """Of a device's networks, each of which some place of it chooses; number: of the device, on the page."""
    costs = [findings.cost(network) for network in findings.networks]
    named = [findings.limit] if findings.asked or findings.kept else []
    step = nice_step(max(costs) - min(costs) or max(costs) / 10, named)

    def above(cost: float) -> float:
        return round(math.ceil(round(cost / step, 6)) * step, 12)

    # a limit far above all networks would leave most of the slider to one
    start = above(findings.limit if findings.limit <= FAR * max(costs) else max(costs))
    most = max(above(max(costs)), start)
    return Slider(f"limit-{number}", above(min(costs)), most, step, start)


def nice_step(span: float, named: Sequence[float] = (), parts: int = 250) -> float:
    """1, 2 or 5 times a power of ten: about so many of them make the span, and whole numbers of it the named limits."""
    power = math.floor(math.log10(max(span, 1e-9) / parts))
    steps = [factor * 10.0**exponent for exponent in range(power + 1, power - 4, -1) for factor in (5, 2, 1)]
    steps = [step for step in steps if step <= 2 * span / parts] or steps
    whole = [step for step in steps if all(abs(limit / step - round(limit / step)) < 1e-6 for limit in named)]
    return (whole or steps)[0]
