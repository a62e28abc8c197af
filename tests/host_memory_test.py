"""What is freed goes back to the system."""

import platform
import subprocess
import sys

import pytest

# Blocks of a heap of which one in a hundred stays in use.
_FREED = """
import numpy as np
from tfxml.cpu import host_memory

def held_mib():
    with open("/proc/self/status") as status:
        line = next(line for line in status if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024

host_memory.keep_together()
blocks = [np.ones(100_000, np.uint8) for _ in range(3000)]
blocks = blocks[::100]
before = held_mib()
host_memory.give_back()
print(before - held_mib())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc")
def test_free_blocks_between_others_are_given_back():
    freed = subprocess.check_output([sys.executable, "-c", _FREED], text=True)
    assert float(freed) > 200


# Libraries that were read, a file, and one that was written to in memory.
_FILE_PAGES = """
import ctypes, mmap, sys
import numpy as np
import scipy.linalg
from tfxml.cpu import host_memory

def held_mib(name):
    with open("/proc/self/status") as status:
        line = next(line for line in status if line.startswith(name))
    return int(line.split()[1]) / 1024

path = sys.argv[1]
content = np.random.default_rng(0).bytes(64 << 20)
with open(path, "wb") as file:
    file.write(content)
with open(path, "rb") as file:
    clean = mmap.mmap(
        file.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ
    )
    changed = mmap.mmap(
        file.fileno(),
        0,
        flags=mmap.MAP_PRIVATE,
        prot=mmap.PROT_READ | mmap.PROT_WRITE,
    )
assert clean[:] == content
changed[70_000:70_003] = b"new"
address = ctypes.addressof(ctypes.c_char.from_buffer(changed))
library = ctypes.CDLL(None)
assert not library.mprotect(
    ctypes.c_void_p(address), ctypes.c_size_t(len(content)), 1
)
before = held_mib("RssFile")
dropped = host_memory.drop_file_pages()
print(before - held_mib("RssFile"), dropped / 2**20)
assert changed[70_000:70_003] == b"new"
assert clean[:] == content
values = np.eye(3) + 1
np.testing.assert_allclose(
    scipy.linalg.inv(values) @ values, np.eye(3), atol=1e-12
)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc")
def test_pages_of_files_are_given_back_unless_they_were_written(tmp_path):
    words = [sys.executable, "-c", _FILE_PAGES, str(tmp_path / "file")]
    said = subprocess.check_output(words, text=True)
    freed, dropped = map(float, said.split())
    assert freed > 64
    assert dropped > 64
