"""Silence for callers that did not ask for output."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def unless(is_wanted: bool | int) -> Iterator[None]:
    """Keeps standard output and error to itself unless they are wanted.

    What was written is shown if an error comes, for it may tell why.
    """
    if is_wanted:
        yield
        return
    kept = io.StringIO()
    try:
        with contextlib.redirect_stdout(kept), contextlib.redirect_stderr(kept):
            yield
    except Exception:
        sys.stderr.write(kept.getvalue())
        raise
