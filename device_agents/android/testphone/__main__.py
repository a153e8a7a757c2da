"""`python -m device_agents.android.testphone`: boots the test phone and holds it until Ctrl-C."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence

from device_agents.android.testphone.phone import TestPhone
from device_agents.android.testphone.root import TestPhoneImpossible

ENDING = {signal.SIGINT, signal.SIGTERM}


def main(argv: Sequence[str] | None = None) -> int:
    parsed = argparse.ArgumentParser(
        prog="python -m device_agents.android.testphone",
        description="Boot a stand-in phone with a real adbd on 127.0.0.1. Its times mean nothing.",
        epilog="example: python -m device_agents.android.testphone --port 5999",
    )
    parsed.add_argument("--port", type=int, default=5999, metavar="N", help="on 127.0.0.1 (default 5999)")
    parsed.add_argument("--abi", default="arm64-v8a", metavar="A",
        help="arm64-v8a, emulated, or x86_64, native (default arm64-v8a)")  # fmt: skip
    parsed.add_argument("--mib", type=int, default=512, metavar="N", help="size of /data/local/tmp (default 512)")
    args = parsed.parse_args(argv)
    try:
        with TestPhone(args.abi, args.mib, args.port) as phone:
            print(f"booted: python -m profilers.android --serial {phone.serial} ...; Ctrl-C ends it", flush=True)
            signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
            signal.sigwait(ENDING)
    except TestPhoneImpossible as reason:
        print(f"error: {reason}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
