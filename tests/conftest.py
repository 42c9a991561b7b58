from __future__ import annotations

import hypothesis

from tests.mariadb import database_url, mariadb, mortal

__all__ = ["database_url", "mariadb", "mortal"]

# How long one example takes says more about the machine than about the code; a test that hangs is ended by its timeout.
hypothesis.settings.register_profile("ours", deadline=None)
hypothesis.settings.load_profile("ours")
