"""Compares a training step with the least time that this machine could take.

    python benchmarks/roofline.py --shapes=eurlex57k,tibkat-gnd

In one run: the rate of large float32 and bfloat16 matrix products, the memory
bandwidth, and the median time of a step and of its parts, on generated
instances of a data set's shape. The floor of a part is the larger of its
operations over the matrix rate and its bytes over the bandwidth; parts that
cannot overlap add up. The recipe's flags set the head and the optimizer.

# N instances of a batch, D features, E features per row, U distinct features of
# the batch, H units, O outputs (labels, or buckets of all repetitions)
"""

from __future__ import annotations

import dataclasses
import statistics
import time

import numpy as np
import tensorflow as tf
from absl import app, flags

from tfxml.data import inputs, instances
from tfxml.data.feeding import batching, in_memory, on_device, pipeline
from tfxml.models import sparse_labels
from tfxml.run import build, workdir
from tfxml.run import flags as flags_lib
from tfxml.training import host_steps, loop

_SHAPES = flags.DEFINE_list("shapes", ["eurlex57k", "tibkat-gnd"], "Which.")
_ROUNDS = flags.DEFINE_integer("rounds", 7, "Repetitions of each figure.")
_FLOAT = 4  # bytes


@dataclasses.dataclass(frozen=True)
class Shape:
    """The sizes that determine a step's cost, besides the recipe."""

    batch_size: int
    num_features: int
    features_each: int
    hidden: int
    num_labels: int
    labels_each: int


SHAPES = {
    "eurlex57k": Shape(512, 56_687, 233, 512, 4_271, 5),
    "tibkat-gnd": Shape(512, 135_018, 98, 768, 41_218, 3),
}


@dataclasses.dataclass(frozen=True)
class Machine:
    """The machine's measured rates, per second."""

    float32: float  # operations of a matrix product
    bfloat16: float
    bandwidth: float  # bytes read and written

    def floor_ms(self, operations: float, moved: float) -> float:
        return 1e3 * max(operations / self.float32, moved / self.bandwidth)


def main(_) -> None:
    machine = _measure_machine()
    print(
        f"float32 {machine.float32 / 1e9:.0f} GFLOP/s, bfloat16 "
        f"{machine.bfloat16 / 1e9:.0f} GFLOP/s, memory "
        f"{machine.bandwidth / 1e9:.1f} GB/s, TensorFlow {tf.__version__}\n"
    )
    for name in _SHAPES.value:
        _report(name, SHAPES[name], machine)


def _report(name: str, shape: Shape, machine: Machine) -> None:
    config = flags_lib.read_config().replace(
        hidden_units=(shape.hidden,),
        batch_size=shape.batch_size,
    )
    step = _Step(config, shape)
    counts = _counts(shape, config, step.num_outputs, step.num_distinct)
    times = step.times()
    floors = {part: machine.floor_ms(*counts[part]) for part in counts}
    print(
        f"{name}: batch {shape.batch_size}, {step.num_distinct} distinct "
        f"features, {shape.hidden} units, {step.num_outputs} outputs, "
        f"{config.optimizer}, head {config.head_optimizer}\n\n"
        "| part | GFLOP | GB | floor ms | ms | ratio |\n"
        "| --- | --- | --- | --- | --- | --- |"
    )
    for part in (*counts, "whole step"):
        floor = floors.get(part, sum(floors.values()))
        operations, moved = counts.get(
            part,
            tuple(sum(values) for values in zip(*counts.values(), strict=True)),
        )
        print(
            f"| {part} | {operations / 1e9:.2f} | {moved / 1e9:.3f} | "
            f"{floor:.1f} | {times[part]:.1f} | {times[part] / floor:.2f} |"
            if floor
            else f"| {part} | 0 | 0 | 0 | {times[part]:.1f} | |"
        )
    print()


def _counts(shape: Shape, config, num_outputs: int, num_distinct: int) -> dict:
    """Returns each part's operations and bytes that no method can avoid.

    A matrix in memory is read or written once per use. Logits are not counted,
    because blocks of them can stay in the cache.
    """
    stored = shape.batch_size * shape.features_each
    table = num_distinct * shape.hidden * _FLOAT
    kernel = num_outputs * shape.hidden * _FLOAT
    sparse = 2 * stored * shape.hidden
    # Adam reads and writes weight and two moments; SGD the weight.
    head_passes = 3 if config.head_optimizer == "sgd" else 7
    return {
        "input": (0, 0),
        "first layer": (sparse, table),
        "head, loss and their gradients": (
            6 * shape.batch_size * shape.hidden * num_outputs,
            2 * kernel,
        ),
        "first layer, backward": (sparse, table),
        "update": (0, 7 * table + head_passes * kernel),
    }


class _Step:
    """A training step and its parts on generated instances."""

    def __init__(self, config, shape: Shape):
        source = _source(shape, 4 * shape.batch_size)
        facts = workdir.Facts(
            shape.num_features,
            shape.num_labels,
            source.num_instances,
            "compact",
            is_text=False,
            data_dir="",
        )
        self._model = build.model(config, facts, source.label_counts())
        self._optimizer = build.optimizer(config, 1000, self._model)
        self._counter = loop.new_step_counter()
        batches = batching.ByInstances(source.num_instances, shape.batch_size)
        strategy = tf.distribute.get_strategy()
        self._batches = iter(
            on_device.distribute(
                strategy,
                lambda _: pipeline.training(source, batches, 0, 0, 10**6),
            )
        )
        self._batch = on_device.whole(next(self._batches))
        self._host = host_steps.create(self._model, self._optimizer, strategy)
        self._train_steps = loop.make_train_steps(
            strategy,
            self._model,
            self._optimizer,
            self._counter,
            seed=0,
            host=self._host,
        )
        ids = self._batch.inputs[inputs.FEATURE_IDS].flat_values
        self.num_distinct = len(np.unique(ids))
        self.num_outputs = sum(
            block.num_outputs for block in self._model.head.blocks
        )

    def times(self) -> dict[str, float]:
        """Returns the median milliseconds of each part and of the whole."""
        if self._host is None:
            return self._times()
        with self._host.used():
            return self._times()

    def _times(self) -> dict[str, float]:
        model, batch = self._model, self._batch
        trained = model.trainable_variables
        seed = tf.constant([0, 1])
        weights = batch.weights / tf.reduce_sum(batch.weights)

        @tf.function
        def encode():
            return model.encode(batch.inputs, seed)

        encoded = encode()[0]
        encoder = model.encoders[0].trainable_weights
        head_weights = [
            w for b in model.head.blocks for w in b.trainable_weights
        ]

        @tf.function
        def encode_and_back():
            with tf.GradientTape() as tape:
                hidden = model.encode(batch.inputs, seed)[0]
                total = tf.reduce_sum(hidden * encoded)
            return tape.gradient(total, encoder)

        @tf.function
        def loss():
            with tf.GradientTape() as tape:
                tape.watch(encoded)
                value = model.head.loss_sum(
                    [encoded],
                    sparse_labels.positives_of(batch.label_ids, weights),
                    weights,
                )
            return tape.gradient(value, [encoded, *head_weights])

        @tf.function
        def gradients():
            with tf.GradientTape() as tape:
                value = model.loss_sum(
                    batch.inputs, batch.label_ids, weights, seed
                )
            return tape.gradient(value, trained)

        step_gradients = gradients()

        @tf.function(input_signature=[_spec(one) for one in step_gradients])
        def update(*step_gradients):
            self._optimizer.apply(list(step_gradients), trained)

        forward = _median_ms(encode)
        return {
            "input": _median_ms(lambda: next(self._batches)),
            "first layer": forward,
            "head, loss and their gradients": _median_ms(loss),
            "first layer, backward": _median_ms(encode_and_back) - forward,
            "update": _median_ms(lambda: update(*step_gradients)),
            "whole step": _median_ms(self._steps) / 5,
        }

    def _steps(self) -> float:
        return float(self._train_steps(self._batches, tf.constant(5)))


def _spec(gradient):
    """Returns a gradient's type, with any number of rows if it is sparse.

    With a known number of rows it would be made dense first, as for a TPU.
    """
    if not isinstance(gradient, tf.IndexedSlices):
        return tf.TensorSpec(gradient.shape, gradient.dtype)
    shape = gradient.dense_shape
    return tf.IndexedSlicesSpec(
        gradient.shape,
        gradient.dtype,
        gradient.indices.dtype,
        None if shape is None else shape.dtype,
        indices_shape=[None],
    )


def _source(shape: Shape, num_rows: int) -> in_memory.InMemorySource:
    """Returns rows whose features and labels follow Zipf's law."""
    rng = np.random.default_rng(0)

    def rows(num_ids: int, size: int):
        ranks = np.exp(rng.random((num_rows, 2 * num_ids)) * np.log(size)) - 1
        row_ids = [np.unique(row.astype(np.int32))[:num_ids] for row in ranks]
        splits = np.cumsum([0, *(len(row) for row in row_ids)])
        return splits, np.concatenate(row_ids)

    feature_splits, feature_ids = rows(shape.features_each, shape.num_features)
    label_splits, label_ids = rows(shape.labels_each, shape.num_labels)
    values = np.full(len(feature_ids), shape.features_each**-0.5, np.float32)
    generated = instances.Instances(
        feature_splits, feature_ids, values, label_splits, label_ids
    )
    return in_memory.InMemorySource(
        generated, shape.num_features, shape.num_labels
    )


def _measure_machine() -> Machine:
    size, number = 2048, 1 << 26

    def rate(dtype):
        matrix = tf.cast(tf.random.normal([size, size]), dtype)
        product = tf.function(lambda: tf.matmul(matrix, matrix))
        return 2 * size**3 / (1e-3 * _median_ms(product))

    column = tf.ones([number])
    copy_column = tf.function(lambda: column + 1.0)
    return Machine(
        rate(tf.float32),
        rate(tf.bfloat16),
        2 * number * _FLOAT / (1e-3 * _median_ms(copy_column)),
    )


def _median_ms(function) -> float:
    function()  # traced
    call_ms = []
    for _ in range(_ROUNDS.value):
        start = time.perf_counter()
        function()  # a CPU has computed when it returns
        call_ms.append(1e3 * (time.perf_counter() - start))
    return statistics.median(call_ms)


if __name__ == "__main__":
    flags_lib.define_config()
    app.run(main)
