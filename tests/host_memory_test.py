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
