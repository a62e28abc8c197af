"""Runs a script in a process that starts as those of the commands do.

    python benchmarks/as_command.py SCRIPT.py [ARGUMENTS]

They take less memory than one that imports TensorFlow by itself.
"""

import runpy
import sys

from tfxml.run import tensorflow_start

if __name__ == "__main__":
    del sys.argv[0]
    tensorflow_start.save_memory()
    tensorflow_start.quietly()
    runpy.run_path(sys.argv[0], run_name="__main__")
