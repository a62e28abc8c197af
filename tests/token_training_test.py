"""A model that reads tokens is trained and evaluated, under any loop."""

import launched
import numpy as np
import pytest
import tensorflow as tf
import token_cases

from tfxml.data.feeding import batching
from tfxml.data.records import record_files, record_format, record_source
from tfxml.evaluation import evaluator
from tfxml.evaluation import metrics as metrics_lib
from tfxml.training import loop

NUM_INSTANCES = len(token_cases.pairs())
BATCHES = batching.ByInstances(NUM_INSTANCES, 10)


def _metrics():
    return metrics_lib.RankingMetrics(
        [1], np.ones(token_cases.NUM_WORDS), np.ones(token_cases.NUM_WORDS)
    )


def _trained(strategy, source, is_padded):
    """Returns P@1 in percent, and the weights."""
    with strategy.scope():
        model, optimizer, step = token_cases.parts(
            "padded" if is_padded else "compact"
        )
    steps = loop.SynchronousLoop(
        strategy,
        model,
        optimizer,
        step,
        source,
        BATCHES,
        token_cases.NUM_STEPS,
        seed=0,
        is_padded=is_padded,
    )
    steps.train(token_cases.NUM_STEPS)
    metrics = _metrics()
    evaluator.evaluate(
        strategy,
        evaluator.make_top_k(strategy, model, 1),
        evaluator.make_batches(strategy, source, 7, is_padded),
        metrics,
    )
    weights = [weight.numpy() for weight in model.trainable_variables]
    return metrics.result()["P@1"], weights


def _on_disk(folder, is_mapped):
    """Returns the split, prepared by hand."""
    run = token_cases.split()
    name = record_files.shard_name("train", 0, 1)
    dtype = record_format.token_dtype(token_cases.NUM_WORDS)
    with record_files.ShardWriter(folder, name, dtype) as writer:
        writer.write(run)
        writer.finish({"num_instances": NUM_INSTANCES})
    facts = record_files.read_finished(folder, name)
    manifest = {
        "version": record_files.TOKENS_VERSION,
        "num_features": token_cases.NUM_WORDS,
        "num_labels": token_cases.NUM_WORDS,
        "token_dtype": dtype.name,
        "tokens": {"max_tokens": None},
        "splits": {
            "train": {
                "num_instances": NUM_INSTANCES,
                "most_features": 2,
                "most_labels": 1,
                "most_tokens": 2,
                "shards": [{"name": name, **facts}],
            }
        },
    }
    record_files.write_manifest(folder, manifest)
    return record_source.RecordSource(
        folder, "train", is_mapped, with_tokens=True
    )


@pytest.fixture(scope="module")
def reference():
    strategy = tf.distribute.get_strategy()
    return _trained(strategy, token_cases.source(), is_padded=False)


def test_order_is_learnt_which_no_bag_could(reference):
    assert reference[0] == 100.0  # of a bag: 50 at most


@pytest.mark.parametrize("is_padded", [False, True])
@pytest.mark.parametrize("where", ["one_device", "mirrored"])
def test_strategies_end_with_the_same_weights(
    where, is_padded, reference, mirrored
):
    strategy = (
        mirrored
        if where == "mirrored"
        else tf.distribute.OneDeviceStrategy("CPU:1")
    )
    found = _trained(strategy, token_cases.source(), is_padded)
    assert found[0] == 100.0
    for one, other in zip(found[1], reference[1], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


@pytest.mark.parametrize("is_mapped", [False, True])
def test_prepared_tokens_end_with_the_same_weights(
    is_mapped, reference, tmp_path
):
    strategy = tf.distribute.get_strategy()
    found = _trained(strategy, _on_disk(tmp_path, is_mapped), is_padded=False)
    assert found[0] == 100.0
    for one, other in zip(found[1], reference[1], strict=True):
        np.testing.assert_array_equal(one, other)


_PARAMETER_SERVERS = """
sys.path[:0] = [os.getcwd(), os.path.join(os.getcwd(), "tests")]
import numpy as np
import tensorflow as tf
from strategies import cluster, factory, parameter_server
task = cluster.from_environment()
if task.is_server:
    sys.exit(parameter_server.serve(task, parameter_server.Patience()))
if task.is_evaluator:
    sys.exit(0)
strategy = factory.create("auto")
import token_cases
import token_training_test as test
from tfxml.evaluation import asynchronous_evaluator
from tfxml.training import asynchronous_loop
is_padded = {is_padded}
coordinator = tf.distribute.coordinator.ClusterCoordinator(strategy)
with strategy.scope():
    parts = token_cases.parts("padded" if is_padded else "compact")
source = token_cases.source()
steps = asynchronous_loop.AsynchronousLoop(
    coordinator, *parts, source, test.BATCHES, 0, is_padded
)
for _ in range(token_cases.NUM_STEPS // 3):
    steps.train(3)
answers = asynchronous_evaluator.AsynchronousEvaluator(
    coordinator, parts[0], 1, source, 7, is_padded
)
metrics = test._metrics()
answers.evaluate(metrics)
say("precision", metrics.result()["P@1"])
"""


@pytest.mark.slow
@pytest.mark.parametrize("is_padded", [False, True])
def test_parameter_servers_workers_read_tokens(
    is_padded, tmp_path, monkeypatch
):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
    monkeypatch.setenv("PYTHONPATH", str(launched.ROOT))
    program = _PARAMETER_SERVERS.replace("{is_padded}", str(is_padded))
    with launched.launcher(tmp_path, python=()) as start:
        run = start("--workers=2 --ps=1", program)
        assert run.end(240) == 0, run.err
    assert "precision 100.0" in run.out
