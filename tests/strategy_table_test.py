"""The table of all strategies: what each makes of the same 50 steps.

    python -m pytest -m strategy_table -s

Every row is a run of the real commands in real processes. 568 instances in
batches of 63 leave one instance to the last step of each epoch: shares are
uneven in every step, and all but one are empty in the last.
"""

import module_rows
import numpy as np
import pytest
import runs

from tfxml import evaluate

RECIPE = [
    "--synthetic_labels=60",
    "--synthetic_train=568",
    "--synthetic_test=91",
    "--hidden_units=16",
    "--dropout=0",
    "--batch_size=63",
    "--num_epochs=5",
    "--steps_per_loop=7",
    "--learning_rate=0.02",
]
MACH = ["--head=mach", "--num_repetitions=4", "--num_buckets=20"]
RERANKED = [
    "--reranker_passes=3",
    "--num_hard_negatives=12",
    "--reranker_features=6",
    "--num_candidates=8",
]
HEADS = {
    "sigmoid": ["--label_block_size=25"],
    "sigmoid, sparse": ["--label_block_size=25", "--form=compact"],
    "sigmoid, sgd head": ["--head_optimizer=sgd", "--head_learning_rate=3"],
    "sigmoid, reranked": ["--form=compact", *RERANKED],
    "centroid, reranked": [
        "--head=centroid",
        "--reranker_centroid=2",
        *RERANKED,
    ],
    "mach": MACH,
    "mach, 4 encoders": [*MACH, "--num_encoders=4"],
}
TWO = ["--logical_cpus=2"]
# Name: launcher's words, trainer's words.
STRATEGIES = {
    "one_device": ([], ["--strategy=one_device"]),
    "mirrored x2": ([], [*TWO, "--strategy=mirrored"]),
    "central_storage x2": ([], [*TWO, "--strategy=central_storage"]),
    "multi_worker x2": (["--workers=2"], ["--strategy=multi_worker"]),
    "multi_worker x3": (["--workers=3"], ["--strategy=multi_worker"]),
    "parameter_server, 1 worker": (
        ["--workers=1", "--ps=2"],
        ["--strategy=parameter_server"],
    ),
    "repetition groups x2": (None, []),
    "repetition devices x2": ([], [*TWO, "--model_devices=CPU:0,CPU:1"]),
}
# Of the rows of all modules; the other strategies share the code of these.
OF_MODULES = ("mirrored x2", "multi_worker x2", "parameter_server, 1 worker")
ROWS = [
    (strategy, head)
    for strategy in STRATEGIES
    for head in HEADS
    if not strategy.startswith("repetition") or head == "mach, 4 encoders"
] + [
    (strategy, name)
    for strategy in OF_MODULES
    for name in module_rows.ROWS
    # Parameter servers refuse averages: no moment is that of one step.
    if strategy != OF_MODULES[-1] or name not in module_rows.AVERAGED
]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    module_rows.write_data(folder)
    return folder


def _train(head, path, data, strategy=None):
    if head in HEADS:
        recipe = [*RECIPE, *HEADS[head]]
    else:
        recipe = module_rows.flags(head, data)
    words = ["tfxml.train", *recipe, f"--workdir={path}"]
    launcher, own = STRATEGIES.get(strategy, ([], []))
    if launcher is None:
        for group in ("0/2", "1/2"):
            runs.run(runs.command(*words, f"--repetition_group={group}"))
        runs.run(runs.command("tfxml.merge", f"--workdir={path}"))
    elif launcher:
        runs.run(runs.launched(launcher, *words, *own))
    else:
        runs.run(runs.command(*words, *own))


def _weights(path, head):
    # What takes no gradients is learnt in one step more.
    words = HEADS.get(head, ())
    steps = 0 if "--head=centroid" in words else 50
    last = steps + ("--reranker_passes=3" in words)
    assert runs.last_step(path) == f"step_{last:08}"
    return runs.tensors(path, "model/")


def _metrics(path):
    return {k: v for k, v in runs.entries(path)[-1].items() if "@" in k}


@pytest.fixture(scope="module")
def single(tmp_path_factory, data):
    """Returns a function from a head to its run on a single device."""
    root = tmp_path_factory.mktemp("single")
    made = {}

    def path(head):
        if head not in made:
            made[head] = root / str(len(made))
            _train(head, made[head], data)
        return made[head]

    return path


@pytest.fixture(scope="module")
def table():
    """Returns a function that prints a row as soon as it is known."""
    print(f"\n{'strategy':28}{'head':18}{'max |dw|':>10}{'max |dP@k|':>12}")
    return lambda strategy, head, weight, metric: print(
        f"{strategy:28}{head:18}{weight:10.1e}{metric:12.1e}", flush=True
    )


@pytest.mark.strategy_table
@pytest.mark.parametrize("strategy, head", ROWS)
def test_weights_are_those_of_a_single_device(
    strategy, head, tmp_path, single, table, data
):
    run = tmp_path / "run"
    _train(head, run, data, strategy)
    ours, theirs = _weights(run, head), _weights(single(head), head)
    assert ours.keys() == theirs.keys()
    worst = max(np.abs(ours[key] - theirs[key]).max() for key in ours)
    if strategy.startswith("repetition groups"):  # merged, but not evaluated
        one = evaluate.evaluate(str(run)).result()
    else:
        one = _metrics(run)
    other = _metrics(single(head))
    assert one.keys() == other.keys()
    largest = max(abs(one[key] - other[key]) for key in one)
    table(strategy, head, worst, largest)
    assert worst <= 1e-5
    assert largest <= 1e-9
