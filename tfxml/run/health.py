"""What is right and wrong with a machine, and how to mend it."""

from __future__ import annotations

import os
import pathlib
import tempfile
import time
from collections.abc import Iterator

from tfxml import config as config_lib
from tfxml.run import machine_checks, quiet, tensorflow_start

_LEAST_MEMORY = 2 * 2**30
_GPU_NODE = pathlib.Path("/dev/nvidiactl")
_SMOKE = {
    "synthetic_train": 2000,
    "synthetic_test": 500,
    "synthetic_labels": 50,
    "hidden_units": (64,),
    "num_epochs": 2,
    "learning_rate": 0.01,
}


def without_tensorflow(workdir: str) -> list[machine_checks.Finding]:
    """Returns what is found before TensorFlow is imported.

    Args:
        workdir: where runs are to be written.
    """
    return [
        machine_checks.python(),
        *machine_checks.packages(),
        machine_checks.backend(),
        machine_checks.threads(),
        *machine_checks.tasks(),
        machine_checks.loopback(),
        *machine_checks.folders(workdir),
    ]


def with_tensorflow(is_smoke: bool) -> Iterator[machine_checks.Finding]:
    """Yields what TensorFlow finds, and how a small run goes."""
    try:
        tensorflow_start.quietly()
    except ImportError as error:
        yield machine_checks.Finding(
            machine_checks.PROBLEM,
            "tensorflow",
            f"cannot be imported ({error})",
            "install tfxml into a new environment: python -m venv ...",
        )
        return
    yield _devices()
    yield _memory()
    if is_smoke:
        yield _smoke_run()


def verdict(found: list[machine_checks.Finding]) -> str:
    """Returns a last line."""
    number = sum(finding.level == machine_checks.PROBLEM for finding in found)
    warnings = sum(finding.level == machine_checks.WARNING for finding in found)
    if not number and not warnings:
        return "all is well"
    return f"{number} problems, {warnings} warnings; see the lines above"


def _memory() -> machine_checks.Finding:
    from tfxml.run import limits

    there = limits.memory_bytes()
    text = f"{there / 2**30:.1f} GiB"
    if there >= _LEAST_MEMORY:
        return machine_checks.Finding(machine_checks.OK, "memory", text)
    return machine_checks.Finding(
        machine_checks.WARNING,
        "memory",
        text,
        "TensorFlow alone takes 0.7 GiB: use a machine, or a container, of "
        "2 GiB or more",
    )


def _devices() -> machine_checks.Finding:
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    tpus = tf.config.list_physical_devices("TPU")
    text = f"{len(gpus)} GPUs, {len(tpus)} TPUs, the CPU"
    if _GPU_NODE.exists() and not gpus:
        return machine_checks.Finding(
            machine_checks.WARNING,
            "devices",
            f"{text}; there is an NVIDIA driver, but TensorFlow sees no GPU",
            'pip install "tensorflow[and-cuda]", and see nvidia-smi',
        )
    return machine_checks.Finding(machine_checks.OK, "devices", text)


def _smoke_run() -> machine_checks.Finding:
    """Trains a small model in a folder that goes away, and predicts with it."""
    import numpy as np
    import tensorflow as tf

    from tfxml.data import requests
    from tfxml.run import request_predictor, restore, train_and_evaluate

    start = time.monotonic()
    config = config_lib.Config(**_SMOKE)
    with tempfile.TemporaryDirectory() as folder, quiet.unless(False):
        path = os.path.join(folder, "run")
        metrics = train_and_evaluate.train(config, path)
        run = restore.restore(path, tf.distribute.get_strategy())
        predictor = request_predictor.RequestPredictor(run)
        row = requests.Request(None, np.arange(3), np.ones(3, np.float32), 0)
        (answer,) = predictor.predict([row])
    seconds = time.monotonic() - start
    text = (
        f"trained to P@1 {metrics['P@1']:.1f} and predicted "
        f"{len(answer['label_ids'])} labels in {seconds:.0f} s"
    )
    return machine_checks.Finding(machine_checks.OK, "smoke run", text)
