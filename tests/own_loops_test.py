"""The loops that the documentation shows, each in processes of its own."""

import os
import re
import runpy
import subprocess
import sys

import documents
import keras
import pytest
import tensorflow as tf

import tfxml

PAGE = documents.ROOT / "docs" / "own-loops.md"
BLOCKS = documents.blocks(PAGE.read_text())
(MODEL,) = [block for block in BLOCKS if block.is_run]
LOOPS = {
    re.search(r'create\("(\w+)"\)', block.text)[1]: block
    for block in BLOCKS
    if block.launched
}
SYNCHRONOUS = ("one_device", "mirrored", "central_storage", "multi_worker")


def test_there_is_a_loop_of_every_strategy():
    assert list(LOOPS) == [*SYNCHRONOUS, "parameter_server"]


def _losses(name, folder):
    """Returns the losses that a loop prints."""
    block = LOOPS[name]
    (folder / "own_model.py").write_text(MODEL.text)
    (folder / "own_loop.py").write_text(block.text)
    words = [sys.executable, "own_loop.py"]
    if block.launched != "alone":
        launcher = [sys.executable, "-m", "strategies.launch"]
        words = [*launcher, *block.launched.split(), "--", *words]
    done = subprocess.run(
        words,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(documents.ROOT)},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [float(one) for one in re.findall(r"loss ([\d.]+)", done.stdout)]


@pytest.fixture(scope="module")
def wanted(tmp_path_factory):
    """Returns the losses of `Trainer` on one device."""
    path = tmp_path_factory.mktemp("model") / "own_model.py"
    path.write_text(MODEL.text)
    module = runpy.run_path(str(path))
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((12,)),
            keras.layers.Dense(32, "relu"),
            tfxml.heads.SigmoidHead(40),
        ]
    )
    trainer = tfxml.Trainer(model, optimizer=tfxml.optimizers.Adam(0.02))
    losses = []
    for batch in module["batches"]():
        alone = tf.data.Dataset.from_tensors(batch)
        losses += trainer.fit(alone, verbose=0).history["loss"]
    return losses


@pytest.mark.parametrize(
    "name",
    [
        name
        if name == "mirrored"
        else pytest.param(name, marks=pytest.mark.strategy_table)
        for name in SYNCHRONOUS
    ],
)
def test_a_synchronous_loop_has_the_losses_of_one_device(
    name, tmp_path, wanted
):
    losses = _losses(name, tmp_path)
    if name == "multi_worker":  # both print each
        losses = sorted(losses, reverse=True)
        wanted = sorted([*wanted, *wanted], reverse=True)
    assert losses == pytest.approx(wanted, abs=2e-4)


@pytest.mark.strategy_table
def test_the_loop_of_parameter_servers_learns(tmp_path):
    losses = _losses("parameter_server", tmp_path)
    assert len(losses) == 20 and losses[-1] < 0.8 * losses[0]
