"""Models spread over devices: the same weights as on one device.

Rows of the table are real commands over four logical CPUs. 330 instances in
batches of 63 leave 15 to the last step of each epoch, so that shares are
uneven.
"""

import re
import shutil

import numpy as np
import pytest
import runs
import tensorflow as tf

from tfxml import config as config_lib
from tfxml.data.feeding import pipeline
from tfxml.run import (
    build,
    datasets,
    device_flags,
    device_memory,
    train_and_evaluate,
)
from tfxml.run import placement as placement_lib
from tfxml.training import replica_step

TINY = config_lib.Config(
    synthetic_labels=60,
    synthetic_train=330,
    synthetic_test=91,
    hidden_units=(16, 8),
    batch_size=63,
    num_epochs=2,
    steps_per_loop=4,
    learning_rate=0.02,
    dropout=0.0,
    label_block_size=15,
    table_shards=2,
)
APART = TINY.replace(
    head="mach", num_repetitions=4, num_encoders=4, num_buckets=20
)
TWO = ("CPU:0", "CPU:1")
LAYOUTS = {
    "width": placement_lib.Placement(devices=TWO),
    "layers": placement_lib.Placement(devices=TWO, partition="layers"),
    "replicas": placement_lib.Placement(partition="replicas"),
}


# --- the table -----------------------------------------------------------

RECIPE = [
    "--synthetic_labels=60",
    "--synthetic_train=330",
    "--synthetic_test=91",
    "--hidden_units=16,8",
    "--dropout=0",
    "--batch_size=63",
    "--num_epochs=2",
    "--steps_per_loop=7",
    "--learning_rate=0.02",
    "--label_block_size=8",
    "--table_shards=4",
]
MACH = ["--head=mach", "--num_repetitions=4", "--num_buckets=20"]
MODELS = {
    "sigmoid, compact": ["--form=compact"],
    "sigmoid, dense": ["--form=dense", "--global_clipnorm=0.5"],
    "sigmoid, averaged": ["--weight_average=ema", "--optimizer=adam"],
    "linear": ["--hidden_units="],
    "mach": MACH,
    "mach, 4 encoders": [*MACH, "--num_encoders=4", "--table_shards=1"],
    "cornet": ["--head=cornet"],
}
FOUR = "CPU:0,CPU:1,CPU:2,CPU:3"
GRID = ["--strategy=mirrored", "--devices=CPU:0,CPU:2"]
WIDTH = [f"--model_devices={FOUR}"]
LAYERS = [*WIDTH, "--model_partition=layers"]
REPLICAS = ["--strategy=mirrored", "--model_partition=replicas"]
ROWS = {
    "width x4": (WIDTH, [*MODELS][:-1]),
    "layers x4": (LAYERS, ["sigmoid, compact", "mach", "mach, 4 encoders"]),
    "layers x2": (
        ["--model_devices=CPU:0,CPU:3", "--model_partition=layers"],
        ["cornet"],
    ),
    "width 2x2": ([*GRID, *WIDTH], [*MODELS][:-1]),
    "layers 2x2": ([*GRID, *LAYERS], ["sigmoid, compact", "mach", "cornet"]),
    "replicas x4": (
        REPLICAS,
        [*MODELS][:3] + ["mach", "mach, 4 encoders"],
    ),
}


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    """Returns a function from a model to its run on a single device."""
    root = tmp_path_factory.mktemp("single")
    made = {}

    def path(model):
        if model not in made:
            made[model] = root / str(len(made))
            _train(model, made[model])
        return made[model]

    return path


def _train(model, path, words=()):
    words = [*RECIPE, *MODELS[model], *words, f"--workdir={path}"]
    return runs.run(runs.command("tfxml.train", *words))


def _difference(one, other):
    """Returns the largest difference of weights, and of metrics."""
    ours, theirs = (runs.tensors(path, "model/") for path in (one, other))
    assert ours.keys() == theirs.keys()
    measured = [
        {k: v for k, v in runs.entries(path)[-1].items() if "@" in k}
        for path in (one, other)
    ]
    assert measured[0].keys() == measured[1].keys()
    return (
        max(np.abs(ours[key] - theirs[key]).max() for key in ours),
        max(abs(measured[0][key] - measured[1][key]) for key in measured[0]),
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "layout, model",
    [
        (layout, model)
        for layout, (_, models) in ROWS.items()
        for model in models
    ],
)
def test_weights_are_those_of_a_single_device(layout, model, tmp_path, single):
    words = [*ROWS[layout][0], "--logical_cpus=4"]
    output = _train(model, tmp_path / "run", words)
    weight, metric = _difference(tmp_path / "run", single(model))
    print(f"\n{layout:14}{model:20}{weight:10.1e}{metric:10.1e}")
    print("\n".join(re.findall("^memory .*", output, re.M)))
    assert weight <= 1e-5
    assert metric <= 1e-9
    num_devices = 2 if layout == "layers x2" else 4
    assert len(re.findall("^memory ", output, re.M)) == num_devices


@pytest.mark.slow
@pytest.mark.parametrize("words", [[], ["--model_partition=replicas"]])
def test_a_shard_may_have_no_row_in_any_replica(words, tmp_path):
    """The last batch has one instance, with a few of the features."""
    recipe = [*RECIPE, "--synthetic_train=568", "--form=compact"]
    mirrored = ["--strategy=mirrored", "--logical_cpus=2", *words]
    for name, more in (("one", []), ("two", mirrored)):
        path = f"--workdir={tmp_path / name}"
        runs.run(runs.command("tfxml.train", *recipe, *more, path))
    assert max(_difference(tmp_path / "two", tmp_path / "one")) <= 1e-5


@pytest.mark.slow
def test_label_blocks_lie_on_all_parameter_servers(tmp_path, single):
    model = "sigmoid, compact"
    words = [*RECIPE, *MODELS[model], f"--workdir={tmp_path / 'run'}"]
    output = runs.run(
        runs.launched(
            ["--workers=1", "--ps=2"],
            *["tfxml.train", *words, "--strategy=parameter_server"],
        )
    )
    assert _difference(tmp_path / "run", single(model))[0] <= 1e-5
    found = re.findall(
        r"memory +ps:(\d) CPU:0: ([\d,]+) bytes of weights", output
    )
    sizes = {task: int(size.replace(",", "")) for task, size in found}
    assert sizes.keys() == {"0", "1"}
    assert max(sizes.values()) < 2 * min(sizes.values())


# --- in this process -------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    "first, second",
    [
        *((layout, layout) for layout in LAYOUTS),
        ("one", "layers"),
        ("layers", "width"),
        ("width", "replicas"),
        ("replicas", "one"),
    ],
)
def test_a_run_resumes_under_any_layout(first, second, tmp_path, mirrored):
    """Bit for bit under the same one."""

    def train(name, layout):
        strategy = mirrored if layout == "replicas" else None
        train_and_evaluate.train(
            TINY.replace(keep_checkpoints=2),
            str(tmp_path / name),
            strategy=strategy,
            placement=LAYOUTS.get(layout, placement_lib.EVERYWHERE),
        )
        return runs.tensors(tmp_path / name)

    whole = train("run", first)
    newest = sorted((tmp_path / "run" / "checkpoints").glob("step_*"))[-1]
    shutil.rmtree(newest)
    again = train("run", second)
    runs.assert_near(whole, again, atol=0.0 if first == second else 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "config, layout, least",
    [
        # Of each of two blocks: forward, hidden, weights.
        (TINY.replace(form="compact"), "width", 2 * 3),
        (TINY, "layers", 4 * 3),
        # Two encoders' upper layer too: forward, hidden, weights.
        (APART.replace(table_shards=1, form="compact"), "width", 4 * 3),
        # A table's shard: forward, weights.
        (TINY.replace(form="dense"), "width", 2 * 3 + 2),
    ],
)
def test_products_are_where_the_weights_lie(config, layout, least):
    data = datasets.training_data(config, "")
    model = build.model(config, data.facts, data.label_counts, LAYOUTS[layout])
    optimizer = build.optimizer(config, 1, model)
    step = replica_step.make_replica_step(model, optimizer, seed=0)
    ids = tf.range(8, dtype=tf.int64)
    rows, labels = data.train.rows(ids)
    batch = pipeline.Batch(rows, labels, tf.ones([8]), ids)

    @tf.function(autograph=False)
    def take_step():
        return step(batch, tf.constant(0, tf.int64))

    graph = take_step.get_concrete_function().graph
    places = [
        operation.device[-5:]
        for operation in graph.get_operations()
        if operation.type == "MatMul"
    ]
    assert places.count("CPU:1") == least
    lying, slots = (
        [variable.value.device[-5:] for variable in variables]
        for variables in (model.trainable_weights, optimizer.variables[1:])
    )
    assert set(lying) == set(TWO)
    assert sorted(slots) == sorted(lying * 2)


@pytest.mark.parametrize(
    "changes, placement, words",
    [
        ({}, {"devices": ("CPU:0", "CPU:7")}, "`model_devices` .* those here"),
        ({}, {"devices": ("CPU:0", "CPU:0")}, "`model_devices` .* different"),
        ({}, {"partition": "layers"}, "given for model_partition=layers"),
        (
            {},
            {"devices": ("CPU:0",), "partition": "layers"},
            "two or more for each replica",
        ),
        (
            {"hidden_units": (), "table_shards": 1},
            {"devices": TWO, "partition": "layers"},
            "used with an encoder",
        ),
        ({}, {"partition": "replicas"}, "used with strategy=mirrored"),
        (
            {},
            {"partition": "replicas", "devices": TWO},
            "empty for model_partition=replicas",
        ),
        ({"head": "centroid"}, {"devices": TWO}, "a head that learns in steps"),
    ],
)
def test_what_cannot_be_spread_is_refused(changes, placement, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        train_and_evaluate.train(
            TINY.replace(**changes),
            str(tmp_path),
            placement=placement_lib.Placement(**placement),
        )


@pytest.mark.parametrize(
    "devices, words",
    [
        (("CPU:0",), "an equal number of devices for 2 replicas"),
        (("CPU:1", "CPU:0"), "beginning with the device of its replica"),
    ],
)
def test_devices_must_fit_the_replicas(devices, words, tmp_path, mirrored):
    with pytest.raises(ValueError, match=words):
        train_and_evaluate.train(
            TINY,
            str(tmp_path),
            strategy=mirrored,
            placement=placement_lib.Placement(devices=devices),
        )


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes, words",
    [
        ({"label_block_size": 60}, "leave each device a block of the head"),
        (
            {"head": "cornet"},
            "one device for a head that is not made",
        ),
        ({"loss": "softmax_cross_entropy"}, "`loss` must be a sum over labels"),
    ],
)
def test_heads_that_cannot_be_spread_are_refused(changes, words):
    config = TINY.replace(**changes)
    data = datasets.training_data(TINY, "")
    with pytest.raises(ValueError, match=words):
        build.model(config, data.facts, data.label_counts, LAYOUTS["width"])


def test_the_bytes_of_each_device_are_told():
    with tf.device("CPU:1"):
        weight = tf.Variable(tf.zeros([3, 5]))
    other = tf.Variable(tf.zeros([1024, 1024]))
    state = [tf.Variable(tf.zeros([], tf.int64))]
    assert device_memory.describe([weight, other], state).splitlines() == [
        "memory    CPU:0: 4.0 MiB of weights, 8 bytes of training state",
        "memory    CPU:1: 60 bytes of weights, 0 bytes of training state",
    ]


def test_the_flags_name_the_layout():
    launch = device_flags.Launch(model_devices=TWO, model_partition="layers")
    assert launch.placement() == LAYOUTS["layers"]
