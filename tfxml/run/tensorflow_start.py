"""Imports TensorFlow without its chatter.

Commands call this once flags and paths have been checked: the import takes
seconds, and what a user has mistyped should be said at once.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
from collections.abc import Iterator

from absl import flags, logging

# What TensorFlow's C++ says while it starts: information and warnings that are
# none to users, in glog's form. Newer versions heed no variable for it.
_CHATTER = (
    rb"[IW]\d{4} |WARNING: All log messages before absl::|"
    rb"To enable the following instructions"
)
# And on every machine without a GPU, as if it were an error.
_NO_GPU = rb"E\d{4} .*failed call to cuInit"
_GPU_DEVICES = ("/dev/nvidiactl", "/dev/dxg")


def set_verbosity(values: flags.FlagValues = flags.FLAGS) -> None:
    """Sets what libraries may say: by `--verbosity`, or only what matters."""
    if values["verbosity"].using_default_value:
        # Without it absl takes INFO: TensorFlow tells of each checkpoint.
        flag = values["verbosity"]
        flag.value, flag.using_default_value = logging.WARNING, False
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")  # as versions heed


def may_have_accelerators() -> bool:
    """Tells, without TensorFlow, whether it might find a GPU or a TPU."""
    return "TPU_ACCELERATOR_TYPE" in os.environ or any(
        map(os.path.exists, (*_GPU_DEVICES, "/dev/accel0"))
    )


def quietly() -> None:
    """Imports TensorFlow and looks for devices."""
    is_first = "tensorflow" not in sys.modules
    with contextlib.ExitStack() as stack:
        if is_first and logging.get_verbosity() < logging.INFO:
            pattern = _CHATTER
            if not may_have_accelerators():
                pattern += b"|" + _NO_GPU
            stack.enter_context(_without(re.compile(pattern)))
        import tensorflow as tf

        tf.config.list_physical_devices()


@contextlib.contextmanager
def _without(pattern: re.Pattern[bytes]) -> Iterator[None]:
    """Takes lines out of what is written to standard error, also by C++.

    A process of its own passes the others on, so that the last words of a
    program that crashes are not lost.
    """
    sys.stderr.flush()
    reads, writes = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.close(writes)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            with os.fdopen(reads, "rb") as lines:
                for line in lines:
                    if not pattern.match(line):
                        os.write(2, line)
        finally:
            os._exit(0)
    os.close(reads)
    kept = os.dup(2)
    os.dup2(writes, 2)
    os.close(writes)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
        os.waitpid(child, 0)
