"""Steps of real sizes, compiled for a TPU v5e by the TPU's own compiler.

No TPU is there: libtpu compiles for a chip that is only described to it, and
says how much of its memory a step takes. What is compiled is what is trained,
evaluated and predicted with: the functions themselves, their variables as
arguments, for one replica. (TensorFlow lowers them as it does for a CPU.)
`pip install ".[tpu-compile]" && pytest -m tpu_compile -s`
"""

import re

import numpy as np
import pytest
import tensorflow as tf

from tfxml import config as config_lib
from tfxml.data import inputs
from tfxml.data.feeding import pipeline
from tfxml.evaluation import evaluator
from tfxml.mach import mach_choices
from tfxml.models import contract
from tfxml.models.heads import mach_head
from tfxml.run import build, workdir
from tfxml.training import loop
from tfxml.training import replica_step as replica_step_lib

pytestmark = pytest.mark.tpu_compile

HBM_BYTES = 16e9  # of a v5e chip
N, D, L = 256, 100_000, 200_000
MOST_FEATURES, MOST_LABELS, MOST_TOKENS = 256, 32, 128  # of an instance
RECIPES = {
    "sigmoid": {},
    "mach": {"head": "mach", "num_repetitions": 4, "num_buckets": 10_000},
    "mach_encoders": {
        "head": "mach",
        "num_repetitions": 4,
        "num_buckets": 10_000,
        "num_encoders": 2,
    },
    "conv": {"encoder": "conv"},
    "gru": {"encoder": "recurrent"},
    "transformer": {"encoder": "transformer"},
    "joint": {"encoder": "joint"},
    "cornet": {"head": "cornet", "cornet_candidates": 1024},
    "chain": {"head": "chain"},
    "label_attention": {"encoder": "conv", "head": "label_attention"},
    "decoder": {"encoder": "conv", "head": "decoder"},
}
# Their memory grows with instances times words times labels.
FEWER_LABELS = dict.fromkeys(("label_attention", "decoder"), 10_000)


@pytest.fixture(scope="module")
def compile_for_v5e():
    """Returns a function (name, step, arguments) -> the memory it takes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_PLATFORMS", "cpu")
        patch.setenv("TPU_SKIP_MDS_QUERY", "1")  # there is no such server
        patch.setenv("TPU_WORKER_HOSTNAMES", "localhost")
        patch.setenv("TPU_ACCELERATOR_TYPE", "v5litepod-4")
        pytest.importorskip("libtpu")
        topologies = pytest.importorskip("jax.experimental.topologies")
        topology = topologies.get_topology_desc(
            platform="tpu", topology_name="v5e:2x2"
        )
        yield lambda *step: _compile(topology.devices[0], *step)


def _compile(device, name, step, *arguments):
    from jax._src import compiler
    from jax._src.interpreters import mlir
    from jaxlib import _jax
    from jaxlib.mlir import ir

    function = tf.function(step, jit_compile=True, autograph=False)
    lower = function.experimental_get_compiler_ir(*arguments)
    text = lower(stage="stablehlo")
    assert "tensor<?" not in text  # a shape that follows from values
    # TensorFlow copies what it returns unchanged by an operation that is not
    # StableHLO's.
    text = re.sub(
        r"mhlo\.copy (%\w+) : (tensor<[^>]*>)",
        r"stablehlo.reshape \1 : (\2) -> \2",
        text,
    )
    with mlir.make_ir_context():
        module = ir.Module.parse(text)
    options = compiler.get_compile_options(num_replicas=1, num_partitions=1)
    compiled = device.client.compile(
        module, _jax.DeviceList((device,)), options
    )
    memory = compiled.get_compiled_memory_stats()
    _print(name, memory)
    return memory


def _total(memory) -> int:
    """Returns the bytes in use; what is updated in place counts once."""
    return (
        memory.argument_size_in_bytes
        + memory.output_size_in_bytes
        - memory.alias_size_in_bytes
        + memory.temp_size_in_bytes
        + memory.generated_code_size_in_bytes
    )


def _print(name, memory) -> None:
    sizes = {
        "arguments": memory.argument_size_in_bytes,
        "outputs": memory.output_size_in_bytes,
        "in place": memory.alias_size_in_bytes,
        "temporary": memory.temp_size_in_bytes,
        "code": memory.generated_code_size_in_bytes,
        "total": _total(memory),
    }
    words = [f"{key} {size / 2**20:.1f}" for key, size in sizes.items()]
    print(f"\n{name}, MiB: {', '.join(words)}")


class _Parts:
    def __init__(self, recipe):
        size = FEWER_LABELS.get(recipe.head, L)
        facts = workdir.Facts(
            *(D, size, 10 * L, recipe.form),
            is_text=False,
            data_dir="",
            num_tokens=D,
        )
        self.model = build.model(recipe, facts, np.ones(size, np.int64))
        self.optimizer = build.optimizer(recipe, 1000, self.model)

    def state_bytes(self) -> int:
        """Returns the size of the weights and the optimizer's moments."""
        variables = [*self.model.weights, *self.optimizer.variables]
        return sum(np.prod(one.shape) * 4 for one in variables)


@pytest.fixture(scope="module", params=sorted(RECIPES))
def parts(request):
    recipe = config_lib.Config(form="padded", **RECIPES[request.param])
    return request.param, _Parts(recipe)


@pytest.fixture(scope="module")
def batch(parts):
    named = inputs.features(
        tf.zeros([N, MOST_FEATURES], tf.int32),
        tf.zeros([N, MOST_FEATURES]),
    )
    if any(one.reads != contract.BAG for one in parts[1].model.encoders):
        named[inputs.TOKEN_IDS] = tf.zeros([N, MOST_TOKENS], tf.int32)
    return pipeline.Batch(
        named,
        tf.zeros([N, MOST_LABELS], tf.int32),
        tf.zeros([N]),
        tf.zeros([N], tf.int64),
    )


def test_train_step_fits(parts, batch, compile_for_v5e):
    name, parts = parts
    step = loop.new_step_counter()
    replica_step = replica_step_lib.make_replica_step(
        parts.model, parts.optimizer, seed=0
    )

    def train_step(batch):
        strategy = tf.distribute.get_strategy()
        return strategy.run(replica_step, args=(batch, step))

    memory = compile_for_v5e(f"{name} train", train_step, batch)
    assert _total(memory) < HBM_BYTES
    # All weights and moments go in, and are updated where they lie.
    assert memory.argument_size_in_bytes > parts.state_bytes()
    assert memory.alias_size_in_bytes > 0.99 * parts.state_bytes()


def test_evaluate_step_fits(parts, batch, compile_for_v5e):
    name, parts = parts
    top_k = evaluator.make_top_k(tf.distribute.get_strategy(), parts.model, k=5)
    memory = compile_for_v5e(f"{name} evaluate", top_k, batch)
    assert _total(memory) < HBM_BYTES
    assert memory.output_size_in_bytes >= N * 5 * 4


def test_predict_step_fits(parts, batch, compile_for_v5e):
    name, parts = parts
    head, estimators = parts.model.head, ["logit"]
    if isinstance(head, mach_head.MachHead):
        estimators = mach_choices.ESTIMATORS
    for estimator in estimators:
        head.estimator = estimator

        def predict(batch):
            return parts.model.top_k(batch.inputs, k=5)

        memory = compile_for_v5e(f"{name} predict {estimator}", predict, batch)
        assert _total(memory) < HBM_BYTES
        assert memory.output_size_in_bytes >= 2 * N * 5 * 4


def test_what_does_not_fit_is_found(compile_for_v5e):
    with pytest.raises(Exception, match="RESOURCE_EXHAUSTED"):
        compile_for_v5e(
            "too large",
            lambda batch: tf.math.top_k(batch, 5),
            tf.TensorSpec([70_000, 70_000]),
        )
