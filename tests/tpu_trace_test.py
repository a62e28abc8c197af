"""Every step traced by the real TPUStrategy, and each of its ops looked at.

No TPU is there: the strategy is told of cores that nobody opens, and its
graphs are made but not run. What it would put on a core must have a static
shape and a kernel of XLA.
"""

import contextlib
import dataclasses
import functools
from collections import Counter

import padded_cases
import pytest
import tensorflow as tf
from tensorflow.python.framework import kernels
from tensorflow.python.tpu import tpu_system_metadata

from tfxml.data.feeding import pipeline
from tfxml.evaluation import evaluator
from tfxml.mach import mach_choices
from tfxml.run import build
from tfxml.training import loop, optimizers

pytestmark = pytest.mark.filterwarnings("ignore:To make it possible")

NUM_CORES = 2
QUICK = padded_cases.marked(padded_cases.CASES.keys() - padded_cases.SLOW)
# What the TPU's own compiler adds to XLA's kernels: between its replicas.
OF_TPU = {"AllToAll", "CrossReplicaSum", "TPUReplicateMetadata"}
ARGUMENT = "Placeholder"  # of a function: it runs no kernel


@dataclasses.dataclass(frozen=True)
class _Device:
    name: str


class _Resolver(tf.distribute.cluster_resolver.TPUClusterResolver):
    """Says that this machine has a TPU."""

    def __init__(self):
        super().__init__(tpu="local")

    def get_tpu_system_metadata(self):
        task = "/job:localhost/replica:0/task:0/device:"
        cores = [_Device(f"{task}TPU:{i}") for i in range(NUM_CORES)]
        return tpu_system_metadata.TPUSystemMetadata(
            num_cores=NUM_CORES,
            num_hosts=1,
            num_of_cores_per_host=NUM_CORES,
            topology=None,
            devices=[_Device(f"{task}CPU:0"), *cores],
        )


@contextlib.contextmanager
def _tpu():
    """Yields the strategy, in a graph: there nothing is run."""
    with tf.Graph().as_default():
        yield tf.distribute.TPUStrategy(_Resolver())


@pytest.fixture(scope="module")
def xla_device():
    """Returns the devices whose kernels XLA compiles: TPUs where it can."""
    if "XLA_TPU_JIT" not in _devices_of("MatMul"):
        # Kernels are registered when the first function is compiled, also by
        # the TensorFlow for TPUs, which compiles none for the CPU.
        with contextlib.suppress(tf.errors.NotFoundError):
            tf.function(tf.square, jit_compile=True)(1.0)
    found = _devices_of("MatMul") & {"XLA_TPU_JIT", "XLA_CPU_JIT"}
    return max(found)


def _devices_of(op_type):
    found = kernels.get_registered_kernels_for_op(op_type)
    return {kernel.device_type for kernel in found.kernel}


@functools.cache
def _kernels_of(op_type, device):
    """Returns the types that each kernel takes, by attribute."""
    found = kernels.get_registered_kernels_for_op(op_type)
    return [
        {
            constraint.name: set(constraint.allowed_values.list.type)
            for constraint in kernel.constraint
        }
        for kernel in found.kernel
        if kernel.device_type == device
    ]


def _graphs(graph):
    """Yields a function's graph and those of all functions that it calls."""
    done, left = set(), [graph]
    while left:
        one = left.pop()
        yield one
        for operation in one.get_operations():
            new = set(_called(operation)) - done
            done |= new
            left += [one._get_function(name).graph for name in new]


def _called(operation):
    for value in operation.node_def.attr.values():
        if value.HasField("func"):
            yield value.func.name
        yield from (function.name for function in value.list.func)


def _on_cores(function):
    """Returns the operations that the strategy puts on each core."""
    found = []
    for graph in _graphs(function.graph):
        for operation in graph.get_operations():
            if "_tpu_replicate" in operation.node_def.attr:
                found.append(operation)
                for name in _called(operation):
                    called = graph._get_function(name).graph
                    for inner in _graphs(called):
                        found += filter(_is_run, inner.get_operations())
    return found


def _is_run(operation):
    """Tells whether it is no argument that a loop's condition ignores."""
    is_read = any(output.consumers() for output in operation.outputs)
    return operation.type != ARGUMENT or is_read


def _has_kernel(operation, device):
    """Tells whether XLA has a kernel for the operation and its types."""
    return any(
        all(
            _types(operation, name) <= allowed
            for name, allowed in types.items()
        )
        for types in _kernels_of(operation.type, device)
    )


def _types(operation, name):
    found = operation.get_attr(name)
    found = found if isinstance(found, list) else [found]
    return {one.as_datatype_enum for one in found}


def _faults(function, device):
    """Returns what a TPU could not compile."""
    operations = _on_cores(function)
    assert "TPUReplicateMetadata" in {one.type for one in operations}
    shapes = {
        f"{one.type} {one.name}: {output.shape}"
        for one in operations
        for output in one.outputs
        if not output.shape.is_fully_defined()
    }
    missing = {
        one.type
        for one in operations
        if one.type not in {ARGUMENT, *OF_TPU} and not _has_kernel(one, device)
    }
    return shapes | missing


def _traced_training(recipe, is_padded=True):
    """Returns the traced steps and the number of trained variables."""
    num_pieces = recipe.accumulate_steps
    with _tpu() as strategy:
        split = padded_cases.source()
        with strategy.scope():
            model, optimizer, step = padded_cases.parts(recipe, split)
            averages = build.weight_averages(recipe, 5, model, strategy)
        train_steps = loop.make_train_steps(
            strategy, model, optimizer, step, 0, num_pieces, averages
        )
        batches = strategy.distribute_datasets_from_function(
            lambda context: pipeline.training(
                split,
                padded_cases.BATCHES,
                seed=0,
                first_step=0,
                num_steps=20,
                shard=pipeline.shard_of(context),
                is_padded=is_padded,
            )
        )

        @tf.function
        def run():
            return train_steps(iter(batches), tf.constant(3))

        return run.get_concrete_function(), len(model.trainable_variables)


def _traced_top_k(recipe, make):
    """Returns what `make(strategy, model)` returns, traced for a batch."""
    with _tpu() as strategy:
        split = padded_cases.source()
        with strategy.scope():
            model, _, _ = padded_cases.parts(recipe, split)
        top_k = make(strategy, model)
        batches = strategy.distribute_datasets_from_function(
            lambda context: pipeline.evaluation(
                split,
                padded_cases.BATCH_SIZE,
                pipeline.shard_of(context),
                is_padded=True,
            )
        )

        @tf.function
        def run():
            return top_k(next(iter(batches)))

        return run.get_concrete_function()


def _check_training(recipe, device):
    function, num_variables = _traced_training(recipe)
    assert not _faults(function, device)
    # Each gradient is summed over the cores once, and the batch's weight.
    counts = Counter(one.type for one in _on_cores(function))
    assert counts["CrossReplicaSum"] == num_variables + 1


@pytest.mark.parametrize("name", QUICK)
def test_train_steps(name, xla_device):
    _check_training(padded_cases.config(name), xla_device)


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        {"accumulate_steps": 2},
        {"weight_average": "ema"},
        {"weight_average": "swa", "swa_start": 1},
    ],
    ids=str,
)
def test_accumulated_and_averaged_train_steps(words, xla_device):
    _check_training(padded_cases.config("sigmoid", **words), xla_device)


@pytest.mark.parametrize("name", sorted(optimizers.OPTIMIZERS))
def test_train_steps_of_every_optimizer(name, xla_device):
    recipe = padded_cases.config("mach", optimizer=name, global_clipnorm=1.0)
    _check_training(recipe, xla_device)


def _evaluate(strategy, model):
    return evaluator.make_top_k(strategy, model, k=5)


@pytest.mark.parametrize("name", QUICK)
def test_evaluate_step(name, xla_device):
    function = _traced_top_k(padded_cases.config(name), _evaluate)
    assert not _faults(function, xla_device)


def _predict(strategy, model):
    """Returns the step whose scores are wanted too."""

    def replica_top_k(batch):
        return model.top_k(batch.inputs, k=5)

    def top_k(batch):
        return strategy.run(replica_top_k, args=(batch,))

    return top_k


@pytest.mark.parametrize("estimator", mach_choices.ESTIMATORS)
def test_predict_step_of_every_estimator(estimator, xla_device):
    recipe = padded_cases.config("mach_encoders", estimator=estimator)
    assert not _faults(_traced_top_k(recipe, _predict), xla_device)


def test_predict_step_of_the_sigmoid_head(xla_device):
    recipe = padded_cases.config("sigmoid")
    assert not _faults(_traced_top_k(recipe, _predict), xla_device)


def test_ragged_rows_are_found_unfit(xla_device):
    """The check can fail: on the steps that CPUs and GPUs run."""
    function, _ = _traced_training(padded_cases.config("mach"), is_padded=False)
    faults = _faults(function, xla_device)
    assert "SparseMatrixMatMul" in faults
    assert any(fault.startswith("Unique ") for fault in faults)


def _select(batch):
    return tf.where(batch.weights > 0)


def _spell(batch):
    return tf.strings.as_string(batch.weights)


def _sort_short_integers(batch):  # a kernel, but not for this type
    return tf.math.top_k(tf.cast(batch.label_ids, tf.uint16))


@pytest.mark.parametrize(
    ("step", "fault"),
    [(_select, "Where"), (_spell, "AsString"), (_sort_short_integers, "TopK")],
)
def test_what_a_tpu_cannot_compile_is_found(step, fault, xla_device):
    def make(strategy, model):
        return lambda batch: strategy.run(step, args=(batch,))

    function = _traced_top_k(padded_cases.config("sigmoid"), make)
    faults = _faults(function, xla_device)
    assert any(found.startswith(fault) for found in faults)
