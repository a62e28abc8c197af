"""Imports TensorFlow without its chatter.

Commands call this once flags and paths have been checked: the import takes
seconds, and what a user has mistyped should be said at once. From Python it is
called when the first public name that needs TensorFlow is looked up.
"""

from __future__ import annotations

import contextlib
import functools
import os
import subprocess
import sys
from collections.abc import Iterator

from absl import flags, logging

from tfxml.cpu import host_memory

# What TensorFlow's C++ says while it starts: information and warnings that are
# none to users, in glog's form. Newer versions heed no variable for it.
_CHATTER = (
    r"[IW]\d{4} |WARNING: All log messages before absl::|"
    r"To enable the following instructions"
)
# And on every machine without a GPU, as if it were an error.
_NO_GPU = r"E\d{4} .*failed call to cuInit"
_PASS_ON = """
import re, sys
is_chatter = re.compile(sys.argv[1].encode()).match
for line in sys.stdin.buffer:
    if not is_chatter(line):
        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()
"""
# What Keras imports if it is there, for functions of its own that no command
# calls: 150 MB and most of a second.
_EXTRAS = ("matplotlib", "pandas", "sklearn")
_is_saving = False  # whether the process is a command's
_GPU_DEVICES = ("/dev/nvidiactl", "/dev/dxg")


def set_verbosity(values: flags.FlagValues = flags.FLAGS) -> None:
    """Sets what libraries may say: by `--verbosity`, or only what matters."""
    if values["verbosity"].using_default_value:
        # Without it absl takes INFO: TensorFlow tells of each checkpoint.
        flag = values["verbosity"]
        flag.value, flag.using_default_value = logging.WARNING, False


def may_have_accelerators() -> bool:
    """Tells, without TensorFlow, whether it might find a GPU or a TPU."""
    return "TPU_ACCELERATOR_TYPE" in os.environ or any(
        map(os.path.exists, (*_GPU_DEVICES, "/dev/accel0"))
    )


def save_memory() -> None:
    """Makes a command's process, which is ours alone, take less memory.

    Before TensorFlow is imported. Its CPU build keeps what it has once taken
    from the system in pools of its own otherwise.
    """
    global _is_saving
    host_memory.keep_together()
    os.environ.setdefault("TF_ONEDNN_USE_SYSTEM_ALLOCATOR", "1")
    _is_saving = True


def give_back() -> None:
    """Gives back what a phase of a command needed, and the next may not.

    Of TensorFlow's libraries, too: their import touches 400 MiB, of which a
    training step needs 80.
    """
    host_memory.give_back()
    if _is_saving:
        host_memory.drop_file_pages()


def quietly() -> None:
    """Imports TensorFlow, looks for devices and turns TensorFloat-32 off.

    Only the first call touches TensorFloat-32, so it can be turned on again.
    """
    is_first = "tensorflow" not in sys.modules
    with contextlib.ExitStack() as stack:
        if is_first and not _is_chatter_wanted():
            # Errors alone, once it has started: its warnings, as of a data
            # set that "will not be optimized", are none to users.
            os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
            pattern = _CHATTER
            if not may_have_accelerators():
                pattern += "|" + _NO_GPU
            stack.enter_context(_without(pattern))
        if is_first and _is_saving:
            stack.enter_context(_without_extras())
        import tensorflow as tf

        tf.config.list_physical_devices()
    turn_off_tensor_float_32()


@functools.cache
def turn_off_tensor_float_32() -> None:
    """Lets float32 matrices be multiplied in float32; the first call only.

    NVIDIA's GPUs since Ampere keep ten bits of mantissa otherwise, and their
    scores would be those of no export.
    """
    import tensorflow as tf

    tf.config.experimental.enable_tensor_float_32_execution(False)


def _is_chatter_wanted() -> bool:
    """Tells whether --verbosity or TensorFlow's own variables ask for it."""
    return (
        logging.get_verbosity() >= logging.INFO
        or os.environ.get("TF_CPP_MIN_LOG_LEVEL") == "0"
        or "TF_CPP_MAX_VLOG_LEVEL" in os.environ
    )


@contextlib.contextmanager
def _without_extras() -> Iterator[None]:
    """Lets imports of `_EXTRAS` fail, as if they were not installed."""
    names = [name for name in _EXTRAS if name not in sys.modules]
    for name in names:
        # None ends an import, which the type of the dictionary leaves out.
        sys.modules[name] = None  # type: ignore[assignment]  # see above
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]


@contextlib.contextmanager
def _without(pattern: str) -> Iterator[None]:
    """Takes lines out of what is written to standard error, also by C++.

    A process of its own passes the others on, so that the last words of a
    program that crashes are not lost. It is started, not forked: a notebook
    has threads.
    """
    sys.stderr.flush()
    reads, writes = os.pipe()
    passing = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _PASS_ON, pattern],
        stdin=reads,
        stdout=2,
        start_new_session=True,  # Ctrl-C is not for it
    )
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
        passing.wait()
