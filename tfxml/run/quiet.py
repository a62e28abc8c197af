"""Silence for callers that did not ask for output."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def unless(is_wanted: bool | int) -> Iterator[None]:
    """Captures standard output and error unless they are wanted.

    After an error what was captured is printed, as it may give the reason.
    """
    if is_wanted:
        yield
        return
    captured = io.StringIO()
    try:
        with (
            contextlib.redirect_stdout(captured),
            contextlib.redirect_stderr(captured),
        ):
            yield
    except Exception:
        sys.stderr.write(captured.getvalue())
        raise
