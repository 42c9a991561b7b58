from __future__ import annotations

from tests.mariadb import database_url, mariadb

__all__ = ["database_url", "mariadb"]
