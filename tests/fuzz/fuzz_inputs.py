"""What targets of the fuzzers are made of."""

import contextlib
import json
import os
import pathlib

from tfxml.data import checked_files, data_errors

SEPARATOR = b"\0--\0"
# Of all that a case may take, in bytes of address space beyond the imports.
MAX_BYTES = 1 << 30


class Target:
    """A function of bytes, inputs to start from, and the longest to try."""

    def __init__(self, run, seeds):
        self._run = run
        self.seeds = seeds
        self.max_bytes = 64 + max(map(len, seeds)) * 5 // 4

    def __call__(self, data):
        with contextlib.suppress(data_errors.DataError):
            self._run(data)


class Files:
    """Files that hold the parts of an input; equal ones are left alone."""

    def __init__(self, paths):
        self.paths = [pathlib.Path(path) for path in paths]
        self._handles = [
            os.open(path, os.O_WRONLY | os.O_CREAT) for path in self.paths
        ]
        self._contents = [b""] * len(self.paths)
        self._digests = [None] * len(self.paths)

    def write(self, data):
        parts = data.split(SEPARATOR, len(self.paths) - 1)
        parts += [b""] * (len(self.paths) - len(parts))
        for i, part in enumerate(parts):
            if part != self._contents[i]:
                os.ftruncate(self._handles[i], 0)
                os.pwrite(self._handles[i], part, 0)
                self._contents[i] = part
                self._digests[i] = None

    def digests(self):
        """Returns what `checked_files.digest` says of each."""
        for i, path in enumerate(self.paths):
            if self._digests[i] is None:
                self._digests[i] = checked_files.digest(path)
        return list(self._digests)


def write_sealed(path, values):
    """Writes a file with its checksum, without what a crash would need."""
    path.write_text(json.dumps(checked_files.sealed(values)))
