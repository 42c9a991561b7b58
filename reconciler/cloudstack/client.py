"""The client of one CloudStack: all reads, and writers held to a permit.

`wiring` makes one for an endpoint; `reconciler.observe` reads through it, `reconciler.execute` asks it for a writer for
each step. It may be used from several threads.
"""

from __future__ import annotations

from reconciler.cloudstack.endpoint import Endpoint as Endpoint
from reconciler.cloudstack.permit import Permit
from reconciler.cloudstack.reads import Patience as Patience
from reconciler.cloudstack.reads import Reader
from reconciler.cloudstack.writer import Seen as Seen
from reconciler.cloudstack.writer import Writer as Writer


class Client(Reader):
    """`Client(endpoint, clock, session=None, patience=None)`: everything the product says to one CloudStack."""

    def writer(self, allowed: Permit, seen: Seen | None = None) -> Writer:
        """The only object with mutating methods, held to this permit.

        Given what the look of this very round found, it asks the cloud again only before a guest is destroyed.
        """
        return Writer(self._transport, self, allowed, seen)
