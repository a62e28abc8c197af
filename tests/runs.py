"""Real commands, and what their runs leave behind."""

import json
import pathlib
import subprocess
import sys

import numpy as np
import tensorflow as tf

# Runs a command as `python -m` does, and ends with what it has imported.
_SCRIPT = """
import atexit, runpy, sys
slow = ("tensorflow", "keras", "numba", "scipy", "sklearn", "pandas")
atexit.register(
    lambda: sys.stderr.write(
        "\\nimported: " + " ".join(x for x in slow if x in sys.modules)
    )
)
module, *sys.argv[1:] = sys.argv[1:]
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""


def command(module, *words):
    """Returns the command line of `python -m module`."""
    return [sys.executable, "-m", module, *words]


def launched(launcher, module, *words):
    """Returns the command line that runs a module as each task."""
    return command(
        "strategies.launch", *launcher, "--", *command(module, *words)
    )


def run(words, stdin=None, seconds=280):
    """Runs a command to its end, which must be good; returns its output."""
    done = finished(words, stdin, seconds)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def finished(words, stdin=None, seconds=280):
    """Runs a command to its end, good or bad."""
    return subprocess.run(
        words, input=stdin, capture_output=True, text=True, timeout=seconds
    )


def with_imports(module, *words, stdin=None):
    """Runs `python -m module`; tells which of the slow packages it imported.

    Returns exit code, output, errors, and those packages.
    """
    done = finished([sys.executable, "-c", _SCRIPT, module, *words], stdin)
    errors, imported = done.stderr.split("\nimported: ")
    return done.returncode, done.stdout, errors, imported.split()


def last_step(path):
    """Returns the name of a run's newest checkpoint."""
    return _checkpoints(path)[-1].name


def tensors(path, prefix=""):
    """Returns what a run's newest checkpoint holds under these names."""
    newest = _checkpoints(path)[-1]
    reader = tf.train.load_checkpoint(str(newest / "model"))
    return {
        name: reader.get_tensor(name)
        for name in reader.get_variable_to_shape_map()
        if name.startswith(prefix) and name != "_CHECKPOINTABLE_OBJECT_GRAPH"
    }


def entries(path, name="metrics.jsonl"):
    """Returns the evaluations that a run has written."""
    lines = (pathlib.Path(path) / name).read_text().splitlines()
    return [json.loads(line) for line in lines]


def without_costs(entry):
    """Returns an evaluation without what differs from run to run."""
    costs = ("step_ms", "peak_memory_gib")
    return {key: value for key, value in entry.items() if key not in costs}


def assert_near(one, other, atol=0.0):
    """Asserts that two dicts of arrays agree to `atol`; 0: bit for bit."""
    assert one.keys() == other.keys()
    for key in one:
        np.testing.assert_allclose(
            one[key], other[key], rtol=0, atol=atol, err_msg=key
        )


def _checkpoints(path):
    return sorted((pathlib.Path(path) / "checkpoints").glob("step_*"))
