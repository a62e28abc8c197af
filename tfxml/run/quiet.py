"""What a run leaves alone in the process of a caller from Python."""

from __future__ import annotations

import contextlib
import io
import os
import random
import signal
import sys
from collections.abc import Iterator

import numpy as np


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


@contextlib.contextmanager
def but_chief(is_chief: bool, first: str = "") -> Iterator[None]:
    """Drops what other workers than the chief print; errors stay.

    Args:
        is_chief: whether this process is the chief, or alone.
        first: lines that every worker prints.
    """
    print(first, end="", flush=True)
    if is_chief:
        yield
        return
    with (
        open(os.devnull, "w", encoding="utf-8") as nowhere,
        contextlib.redirect_stdout(nowhere),
    ):
        yield


@contextlib.contextmanager
def as_in_notebooks() -> Iterator[None]:
    """Lets Ctrl-C interrupt, not exit, and leaves global generators alone."""
    of_numpy, of_python = np.random.get_state(), random.getstate()
    try:
        yield
    except SystemExit as end:
        if end.code == 128 + signal.SIGINT:
            raise KeyboardInterrupt from end
        raise
    finally:
        np.random.set_state(of_numpy)
        random.setstate(of_python)
