"""`python -m simulator`: a cloud that keeps running until it is told to stop."""

from __future__ import annotations

import argparse
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

from simulator.clock import RealClock, TurnedClock
from simulator.estate import BadEstate, load_estate
from simulator.server import ROUTES, serve

EXAMPLE = Path(__file__).parents[1] / "examples" / "estate.yaml"


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m simulator", description="A simulated Apache CloudStack on loopback.")
    parser.add_argument("--port", type=int, default=8080, help="API port on 127.0.0.1 (0: any free one)")
    parser.add_argument("--control-port", type=int, default=None, help="port for clock, faults and state (0: any free one)")
    parser.add_argument("--estate", type=Path, default=EXAMPLE, help="what is in the cloud (default: examples/estate.yaml)")
    parser.add_argument("--release", default=None, help="CloudStack release to behave like, e.g. 4.22.1.0")
    parser.add_argument("--durations", type=float, default=None, help="seconds that every job takes (default: typical ones)")
    parser.add_argument("--speed", type=float, default=1.0, help="run the cloud's clock that many times as fast")
    parser.add_argument("--turned", action="store_true", help="the clock stands until it is turned on the control port")
    return parser


ENDS = (signal.SIGINT, signal.SIGTERM)


def main() -> int:
    """Serve until SIGINT or SIGTERM."""
    given = arguments().parse_args()
    for number in ENDS:  # waited for and not handled: a handler that sets an event may find its lock held, for ever
        signal.signal(number, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDS)
    clock = TurnedClock(datetime.now(UTC)) if given.turned else RealClock(given.speed)
    options = {"release": given.release, "durations": given.durations}
    try:
        cloud = load_estate(given.estate, clock, **{k: v for k, v in options.items() if v is not None})
        cloud.signing_clock = RealClock()
        server = serve(cloud, given.port, 0 if given.turned and given.control_port is None else given.control_port)
    except (OSError, BadEstate) as fault:
        sys.stderr.write(f"cannot start: {fault}\n")
        return 1
    sys.stdout.write(f"simulated CloudStack {cloud.release} at {server.url}\n")
    if server.control_url:
        sys.stdout.write(f"control at {server.control_url}: {ROUTES}\n")
    sys.stdout.flush()
    signal.sigwait(ENDS)
    server.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
