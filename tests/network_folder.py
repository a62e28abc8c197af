"""A folder on a server that can stall, fail and go away: a mount of FUSE.

    with network_folder.mounted(source, mountpoint) as server:
        server.send_signal(signal.SIGSTOP)  # it stalls

A process of its own answers the kernel, as a file server would, read-only and
for one folder of files. SIGUSR1 makes it answer reads with EIO.

# The messages are those of linux/fuse.h, version 7.31.
"""

import contextlib
import ctypes
import errno
import os
import signal
import stat
import struct
import subprocess
import sys

_LOOKUP, _FORGET, _GETATTR, _OPEN, _READ, _RELEASE = 1, 2, 3, 14, 15, 18
_FLUSH, _INIT, _OPENDIR, _READDIR, _RELEASEDIR = 25, 26, 27, 28, 29
_INTERRUPT, _BATCH_FORGET = 36, 42
_NO_ANSWER = (_FORGET, _INTERRUPT, _BATCH_FORGET)
_IN = struct.Struct("<IIQQIIIHH")
_OUT = struct.Struct("<IiQ")
_ATTRIBUTES = struct.Struct("<6Q10I")
_STARTED = struct.Struct("<4I2H2I2H8I")
_DIRECT = 1  # reads come to the server, and not from the kernel's memory
_LONGEST = 1 << 17


@contextlib.contextmanager
def mounted(source, mountpoint):
    """Yields the process that serves a folder's files at a mountpoint.

    Raises:
        PermissionError: for who may not mount.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    device = os.open("/dev/fuse", os.O_RDWR)
    os.makedirs(mountpoint, exist_ok=True)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other"
    words = [b"tfxml", os.fsencode(mountpoint), b"fuse"]
    if libc.mount(*words, 0, options.encode()):
        number = ctypes.get_errno()
        os.close(device)
        raise PermissionError(number, os.strerror(number), str(mountpoint))
    server = subprocess.Popen(
        [sys.executable, "-S", __file__, str(source), str(device)],
        pass_fds=[device],
    )
    os.close(device)  # so that the mount is dead when its server is
    try:
        os.listdir(mountpoint)  # it has begun
        yield server
    finally:
        server.kill()
        server.wait()
        subprocess.run(["umount", "-l", str(mountpoint)], check=True)


class _Server:
    """Answers what the kernel asks of a folder of files."""

    def __init__(self, source):
        self._source = source
        self._names = sorted(os.listdir(source))
        self._is_failing = False
        signal.signal(signal.SIGUSR1, self._fail)

    def _fail(self, *unused):
        self._is_failing = True

    def serve(self, device):
        while True:
            try:
                message = os.read(device, 2 * _LONGEST)
            except OSError as error:
                if error.errno == errno.ENODEV:  # unmounted
                    return
                if error.errno in (errno.ENOENT, errno.EINTR):
                    continue
                raise
            _, code, unique, node, *_ = _IN.unpack_from(message)
            if code in _NO_ANSWER:
                continue
            try:
                number, content = 0, self._answer(code, node, message[40:])
            except OSError as error:
                number, content = -error.errno, b""
            head = _OUT.pack(_OUT.size + len(content), number, unique)
            with contextlib.suppress(FileNotFoundError):  # who asked is gone
                os.write(device, head + content)

    def _answer(self, code, node, body):
        if code == _INIT:
            return struct.pack(
                "<4I2H2I2H8I", 7, 31, *[0] * 4, _LONGEST, *[0] * 11
            )
        if code == _LOOKUP:
            name = os.fsdecode(body[:-1])
            if name not in self._names:
                raise OSError(errno.ENOENT, name)
            node = self._names.index(name) + 2
            return struct.pack("<4Q2I", node, 0, 0, 0, 0, 0) + self._state(node)
        if code == _GETATTR:
            return struct.pack("<Q2I", 0, 0, 0) + self._state(node)
        if code in (_OPEN, _OPENDIR):
            return struct.pack("<Q2I", 0, _DIRECT if code == _OPEN else 0, 0)
        if code in (_READ, _READDIR):
            _, start, size = struct.unpack_from("<QQI", body)
            if code == _READDIR:
                return self._entries(start, size)
            if self._is_failing:
                raise OSError(errno.EIO, "told to fail")
            with open(self._path(node), "rb") as file:
                return os.pread(file.fileno(), size, start)
        if code in (_FLUSH, _RELEASE, _RELEASEDIR):
            return b""
        raise OSError(errno.ENOSYS, str(code))

    def _path(self, node):
        return os.path.join(self._source, *self._names[node - 2 :][: node > 1])

    def _state(self, node):
        found = os.stat(self._path(node))
        kind = stat.S_IFDIR | 0o755 if node == 1 else stat.S_IFREG | 0o644
        seconds = int(found.st_mtime)
        return _ATTRIBUTES.pack(
            *(node, found.st_size, found.st_size // 512 + 1),
            *(seconds, seconds, seconds, 0, 0, 0),
            *(kind, 1, 0, 0, 0, 4096, 0),
        )

    def _entries(self, start, size):
        content = b""
        for place, name in enumerate([".", "..", *self._names][start:], start):
            name = os.fsencode(name)
            entry = struct.pack("<QQII", max(1, place), place + 1, len(name), 0)
            entry += name + bytes(-len(name) % 8)
            if len(content) + len(entry) > size:
                break
            content += entry
        return content


if __name__ == "__main__":
    _Server(sys.argv[1]).serve(int(sys.argv[2]))
