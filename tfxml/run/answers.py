"""Writes predictions: one JSON object per line, to a complete file."""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
import sys
from collections.abc import Callable, Iterator

from tfxml.run import remote

# What finds the labels.
RUNTIMES = ("auto", "cpu", "tensorflow")
# Valid in JSON, and yet the end of a line, or of the world, to some readers.
_SPECIAL = re.compile("[\u0085\u2028\u2029\ud800-\udfff]")


def to_line(answer: dict) -> str:
    """Returns an answer as a line that every reader of JSON accepts.

    Raises:
        ValueError: for a number that is not finite, which JSON does not allow.
    """
    text = json.dumps(answer, ensure_ascii=False, allow_nan=False)
    return _SPECIAL.sub(lambda match: f"\\u{ord(match[0]):04x}", text) + "\n"


def check_output(path: str, source: str) -> None:
    """Raises ValueError unless `path` can be written while `source` is read.

    Args:
        path: where answers go; "-": standard output.
        source: what is read; "-": standard input.
    """
    if path == "-":
        return
    if os.path.isdir(path):
        raise ValueError(
            f"`output` must be a file. Received: output={path}, a folder"
        )
    try:
        source_stat = os.fstat(0) if source == "-" else os.stat(source)
    except OSError:
        return  # opening it reports the error
    for written_path in (path, _partial(path)):
        with contextlib.suppress(FileNotFoundError):
            written_stat = os.stat(written_path)
            if stat.S_ISREG(written_stat.st_mode) and os.path.samestat(
                source_stat, written_stat
            ):
                raise ValueError(
                    "`output` must be another file than `input`, which it "
                    f"would overwrite. Received: input={source}, "
                    f"output={path}, the same file"
                )


@contextlib.contextmanager
def sink(path: str) -> Iterator[Callable[[str], None]]:
    """Gives a function that writes a line.

    A file lies beside `path`, as `<path>.partial`, until all lines are there;
    after an error it stays there. What is no file, as a pipe, is written to.

    Raises:
        OSError: naming the file.
    """
    if path == "-":
        yield _writer(sys.stdout, "standard output")
        return
    # Before links are followed: where /dev/stdout leads to may have no path.
    is_file = not os.path.exists(path) or os.path.isfile(path)
    if is_file:
        path = os.path.realpath(path)
    written = _partial(path) if is_file else path
    file = open(written, "w", encoding="utf-8", newline="\n")
    try:
        yield _writer(file, written)
        file.close()
    except BaseException:
        with contextlib.suppress(OSError):  # as the one that is raised
            file.close()
        if is_file and remote.name_of(written) == written:
            sys.stderr.write(f"the answers so far stand in {written}\n")
        raise
    if is_file:
        os.replace(written, path)


def _writer(file, name: str) -> Callable[[str], None]:
    def write(line: str) -> None:
        try:
            file.write(line)
            file.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OSError(error.errno, error.strerror, name) from error

    return write


def _partial(path: str) -> str:
    return f"{os.path.realpath(path)}.partial"
