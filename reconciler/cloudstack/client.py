"""The client of one CloudStack: all reads, and writers held to a permit.

`wiring` makes one for the management servers of a cloud; `reconciler.observe` reads through it, `reconciler.execute` asks it
for a writer for each step. It may be used from several threads.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime

import requests

from reconciler.cloudstack.budget import Limits as Limits
from reconciler.cloudstack.endpoint import Endpoint as Endpoint
from reconciler.cloudstack.permit import Permit
from reconciler.cloudstack.reads import Reader
from reconciler.cloudstack.retries import Patience as Patience
from reconciler.cloudstack.servers import Servers
from reconciler.cloudstack.writer import Fresh as Fresh
from reconciler.cloudstack.writer import Seen as Seen
from reconciler.cloudstack.writer import Writer as Writer


class Client(Reader):
    """Everything the product says to one CloudStack.

    `endpoints` are its management servers, the first preferred. `clock` gives the time, `wait` lets so many seconds pass;
    `limits` hold for each server.
    """

    def __init__(
        self,
        endpoints: Endpoint | Sequence[Endpoint],
        clock: Callable[[], datetime],
        session: requests.Session | None = None,
        patience: Patience | None = None,
        limits: Limits | None = None,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        addresses = (endpoints,) if isinstance(endpoints, Endpoint) else tuple(endpoints)
        super().__init__(Servers(addresses, clock, session, patience, limits, wait), clock)

    def writer(self, allowed: Permit, seen: Seen | None = None) -> Writer:
        """The only object with mutating methods, held to this permit.

        Given what the look of this very round found, it asks the cloud again only before a guest is destroyed.
        """
        return Writer(self._servers, self, allowed, seen)
