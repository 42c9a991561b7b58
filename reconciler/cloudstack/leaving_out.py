"""Import without a library's optional halves. `transport` loads `cs` by it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def leaving_out(*modules: str) -> Iterator[None]:
    """Within, importing one of these modules raises `ImportError` even where it is installed; one already loaded stays."""
    hidden = [name for name in modules if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        for name in hidden:
            sys.modules.pop(name, None)
