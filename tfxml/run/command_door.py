"""How a command ends: well, with a word on what to mend, or as a bug of ours.

What a user can mend (a flag, a file, a disk, a machine) is one paragraph that
begins with FATAL, and exit code 1. Anything else is a bug: it keeps its
traceback, says that it is one, and where to report it.
"""

from __future__ import annotations

import contextlib
import dis
import errno
import json
import lzma
import os
import re
import select
import signal
import sys
import traceback
import zipfile
import zlib
from collections.abc import Callable

from absl import app

from tfxml.data import data_errors
from tfxml.run import remote

_OURS = ("tfxml", "strategies", "__main__")
_RAISE = dis.opmap["RAISE_VARARGS"]
# What libraries raise for content that is not what its form says.
_BAD_CONTENT = (
    UnicodeError,
    json.JSONDecodeError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    RecursionError,
)
# TensorFlow's, by name: it is not imported for their sake.
_OUT_OF_MEMORY = ("ResourceExhaustedError",)
_OF_FILES = (
    "AlreadyExistsError",
    "DataLossError",
    "NotFoundError",
    "PermissionDeniedError",
)
# What a broken disk answers, or a network folder whose server is gone.
_FAILED_READS = (errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN)
_REFUSED = re.compile(r"\b\w+Error: (\[Errno \d+\] .*)")
_REPORT = (
    "This is a bug of tfxml, and nothing that you did wrong. Please report it "
    "with the lines above and the command line.\n"
)


def run(main: Callable[[], None]) -> None:
    """Calls `main()`, and ends the process where it raises."""
    open_standard_files()
    opened, written = _watch_files()
    try:
        main()
        _flush()
    except KeyboardInterrupt:
        _end("interrupted\n", 128 + signal.SIGINT)
    except Exception as error:
        if isinstance(error, BrokenPipeError) and _is_gone(sys.stdout):
            # Nobody reads on, as after `head`: no error, and no word.
            _give_up_output()
            sys.exit(128 + signal.SIGPIPE)
        if isinstance(error, OSError) and not error.filename:
            try:
                _flush()  # again: what was not written is still there
            except OSError as refused:
                error = refused
        text = explain(error, opened, written)
        if text is None:
            _end(traceback.format_exc() + _REPORT, 1)
        _end(f"FATAL {text}\n", 1)


def open_standard_files() -> None:
    """Gives what was closed of standard output and error to nobody.

    Else the next file that is opened takes its place, and what is printed is
    written there. Of standard input, `sys.stdin` keeps that it was closed.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number, this one
        if getattr(sys, name) is None and number:
            setattr(sys, name, os.fdopen(number, "w", closefd=False))


def explain(
    error: Exception,
    opened: list[str] | None = None,
    written: list[str] | None = None,
) -> str | None:
    """Returns what a user reads of an error; None for a bug.

    Args:
        error: what was raised.
        opened: the file that was opened last for reading, if there is one.
        written: the one that was opened last for writing.
    """
    kind = type(error).__name__
    if isinstance(error, MemoryError) or kind in _OUT_OF_MEMORY:
        return f"out of memory: {_first_line(error) or 'no more is to be had'}"
    if isinstance(error, OSError) and (error.filename or not _is_told(error)):
        return _explain_os(error, opened or [], written or [])
    if isinstance(error, app.UsageError) or _is_told(error):
        return str(error)
    if isinstance(error, _BAD_CONTENT):
        where = f"{opened[-1]}, which was opened last" if opened else "a file"
        return (
            f"{where}: found what cannot be read ({kind}: "
            f"{_first_line(error)}); needed a whole file in its format"
        )
    if kind in _OF_FILES and type(error).__module__.startswith("tensorflow"):
        return _first_line(error)
    # What our readers raise inside of tf.data.
    refused = kind == "UnknownError" and _REFUSED.search(str(error))
    return refused[1] if refused else None


def _explain_os(error: OSError, opened: list[str], written: list[str]) -> str:
    """Returns what the system refused, and where.

    Of a read that fails, and of a write that finds no space, the system does
    not say in which file.
    """
    names = [
        os.fsdecode(name)
        for name in (error.filename, error.filename2)
        if isinstance(name, str | bytes | os.PathLike)
    ]
    if names:
        return f"{' and '.join(names)}: {error.strerror or error}"
    last = []
    if error.errno in data_errors.REFUSALS:
        if not written:  # so it was what is printed
            return f"standard output: {error.strerror}"
        last = written
    elif error.errno in _FAILED_READS:
        last = opened
    if last:
        return f"{last[-1]}, which was opened last: {error.strerror}"
    return str(error) or type(error).__name__


def _is_told(error: Exception) -> bool:
    """Tells whether our code raised it, and by a `raise` of its own.

    What Python raises inside our code, as for a None where a number should
    be, is a bug.
    """
    trace = error.__traceback__
    if trace is None:
        return False
    while trace.tb_next:
        trace = trace.tb_next
    frame = trace.tb_frame
    raiser = frame.f_globals.get("__name__", "").split(".")[0]
    return raiser in _OURS and frame.f_code.co_code[trace.tb_lasti] == _RAISE


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[0][:500]


def _watch_files() -> tuple[list[str], list[str]]:
    """Returns lists of the file opened last for reading, and for writing.

    Libraries' errors about what is in a file do not say which file it is.
    """
    opened: list[str] = []
    written: list[str] = []
    not_data = (sys.prefix, sys.base_prefix, "/proc", "/sys", "/dev", "/etc")

    def note(event: str, arguments: tuple) -> None:
        if event != "open" or not isinstance(arguments[0], str | bytes):
            return
        path = os.fsdecode(arguments[0])
        if path.startswith(not_data) or path.endswith((".py", ".pyc")):
            return
        _, mode, flags = arguments
        if isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR):
            written[:] = [path]
        elif mode in (None, "r", "rb"):
            opened[:] = [path]

    sys.addaudithook(note)
    return opened, written


def _is_gone(file) -> bool:
    """Tells whether nobody is left who could read a pipe."""
    poll = select.poll()
    poll.register(file.fileno(), 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def _flush() -> None:
    """Writes what is printed and still waits.

    Raises:
        OSError: naming standard output.
    """
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, "standard output") from error


def _end(text: str, code: int) -> None:
    try:
        sys.stdout.flush()
    except OSError:
        _give_up_output()
    with contextlib.suppress(OSError):
        sys.stderr.write(remote.named(text))
    sys.exit(code)


def _give_up_output() -> None:
    """Sends what still waits to nobody: Python tries again at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
