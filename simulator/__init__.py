"""A CloudStack that is not there: API, jobs, states and refusals of a KVM management server, on a clock one can turn.

A stranger to everything it helps to test: it imports none of the product. `Cloud` is the whole server without a socket,
`serve` puts it behind HTTP on loopback, `load_estate` fills it from a file. Same seed and same calls give the same bytes.
"""

from simulator.clock import Clock, RealClock, TurnedClock
from simulator.cloud import Cloud
from simulator.estate import load_estate
from simulator.server import serve
from simulator.wire import Reply

__all__ = ["Clock", "Cloud", "RealClock", "Reply", "TurnedClock", "load_estate", "serve"]
