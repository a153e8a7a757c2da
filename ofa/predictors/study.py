"""`python -m ofa.predictors.study`: the former name of `ofa.predictors.compare`, until 0.3."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from ofa.cli.run import run
from ofa.predictors import compare


def main(argv: Sequence[str] | None = None) -> int:
    print("warning: ofa.predictors.study is now called ofa.predictors.compare", file=sys.stderr)
    return compare.main(argv)


if __name__ == "__main__":
    run(main)
