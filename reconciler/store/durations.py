"""How long steps took, of the newest runs in the journal.

`reconciler.loop` reads it now and then, for `plans.estimates` to set deadlines by. It only reads.
"""

from __future__ import annotations

import sqlalchemy as sa

from reconciler.store import tables

RUNS = 50
r, s = tables.runs, tables.steps
_NEWEST = sa.select(r.c.id).order_by(r.c.created_at.desc(), r.c.id.desc()).limit(RUNS).subquery()
_DONE = (
    sa.select(s.c.word, s.c.subject, s.c.started_at, s.c.finished_at)
    .join(_NEWEST, s.c.run_id == _NEWEST.c.id)
    .where((s.c.state == "done") & s.c.started_at.is_not(None) & s.c.finished_at.is_not(None))
    .order_by(s.c.finished_at.desc(), s.c.run_id, s.c.seq)
)


def newest(connection: sa.Connection) -> tuple[tuple[str, str, float], ...]:
    """Word, object and seconds from the last try to its confirmed end, of every step that was done, newest first."""
    rows = connection.execute(_DONE)
    return tuple((x.word, x.subject, max(0.0, (x.finished_at - x.started_at).total_seconds())) for x in rows)
