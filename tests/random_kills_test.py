"""Killed at random moments, a run ends bit for bit as if never killed.

`TFXML_KILLS` says how often runs are killed in all, 200 if it is not set; the
seed of the moments is `TFXML_KILLS_SEED`.
"""

import json
import os
import random
import time

import killing
import pytest
import runs

from strategies import addresses

NUM_KILLS = int(os.environ.get("TFXML_KILLS", "200"))
SEED = int(os.environ.get("TFXML_KILLS_SEED", "0"))
RECIPE = [
    "--hidden_units=4",
    "--batch_size=16",
    "--num_epochs=3",
    "--steps_per_loop=1",
    "--checkpoint_steps=2",
    "--reranker_passes=2",
    "--num_hard_negatives=3",
    "--min_df=1",
]
HEADS = {
    "mach": ["--head=mach", "--num_repetitions=2", "--num_buckets=5"],
    "sigmoid": ["--head=sigmoid"],
}
LOST = 75  # how those end whose peers are gone


@pytest.fixture(scope="module")
def killer():
    with killing.Killer() as started:
        yield started


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return _written(tmp_path_factory.mktemp("data"), 100)


def _written(folder, num_rows):
    """Writes a data set of texts; returns its folder."""
    names = [{"title": f"label {i}"} for i in range(8)]
    rows = [
        {
            "title": f"word{i % 7} word{i % 5} word{i % 11}",
            "target_ind": sorted({i % 8, i % 3}),
        }
        for i in range(num_rows)
    ]
    for name, entries in (("lbl", names), ("trn", rows), ("tst", rows[:30])):
        lines = "".join(json.dumps(entry) + "\n" for entry in entries)
        (folder / f"{name}.json").write_text(lines)
    return folder


def _environments(num_tasks):
    """Returns what tells each task of its cluster, on ports that are free."""
    if num_tasks == 1:
        return [{}]
    ports = addresses.free_ports(num_tasks)
    cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
    tasks = [{"type": "worker", "index": i} for i in range(num_tasks)]
    return [
        {"TF_CONFIG": json.dumps({"cluster": cluster, "task": task})}
        for task in tasks
    ]


def _left(path):
    """Returns all that a run comes to: weights, metrics, result."""
    entries = [runs.without_costs(entry) for entry in runs.entries(path)]
    result = json.loads((path / "result.json").read_text())
    return runs.last_step(path), runs.tensors(path), entries, result


def _killed_until_it_ends(killer, words, num_tasks, longest, moments):
    """Runs a command until it ends well; returns how often it was killed."""
    num_killed = 0
    while True:
        seconds = moments.uniform(0, longest)
        killed = [i for i in range(num_tasks) if moments.random() < 0.8] or [0]
        environments = _environments(num_tasks)
        codes, texts = killer.run_for(
            seconds, "tfxml.train", words, environments, killed
        )
        num_killed += -9 in codes
        if not any(codes):
            return num_killed
        for code, text in zip(codes, texts, strict=True):
            # One that is killed before it has come is waited for, and named.
            is_named = code == 1 and -9 in codes and "FATAL" in text
            assert code in (-9, LOST, 0) or is_named, text
        longest *= 1.05  # a machine that became slower would never end it


def _check(killer, words, num_tasks, num_kills, moments, folder):
    """Asserts that runs end like one that is never killed.

    Returns how often they were killed, and how many runs those were.
    """
    for name in ("first", "whole"):  # the first one compiles loops, too
        start = time.monotonic()
        codes, texts = killer.run_for(
            None,
            "tfxml.train",
            [*words, f"--workdir={folder / name}"],
            _environments(num_tasks),
            [],
        )
        longest = 1.1 * (time.monotonic() - start)
        assert not any(codes), texts
    wanted = _left(folder / "whole")
    num_killed, num_runs = 0, 0
    while num_killed < num_kills:
        path = folder / str(num_runs)
        num_killed += _killed_until_it_ends(
            killer, [*words, f"--workdir={path}"], num_tasks, longest, moments
        )
        num_runs += 1
        step, tensors, entries, result = _left(path)
        assert (step, entries, result) == (wanted[0], *wanted[2:])
        runs.assert_near(tensors, wanted[1])
        print(f"{num_killed} kills, {num_runs} runs", flush=True)
    return num_killed, num_runs


@pytest.mark.slow
@pytest.mark.parametrize("num_tasks", [1, 2])
@pytest.mark.parametrize("head", HEADS)
def test_killed_at_random_moments(head, num_tasks, killer, data_dir, tmp_path):
    words = [*RECIPE, *HEADS[head], f"--data_dir={data_dir}"]
    if num_tasks > 1:
        words += ["--strategy=multi_worker", "--connect_seconds=60"]
    moments = random.Random(f"{SEED} {head} {num_tasks}")
    num_kills, num_runs = _check(
        killer, words, num_tasks, NUM_KILLS / 4, moments, tmp_path
    )
    print(f"{head}, tasks {num_tasks}: {num_kills} kills, {num_runs} runs")


@pytest.mark.slow
def test_killed_in_the_trial_of_a_recipe(killer, tmp_path):
    """The trial, which takes most of the time, is made again."""
    data_dir = _written(tmp_path, 240)  # fewer are not tried on
    words = ["--recipe=auto", "--min_df=1", f"--data_dir={data_dir}"]
    moments = random.Random(f"{SEED} recipe")
    num_kills, num_runs = _check(killer, words, 1, 8, moments, tmp_path)
    print(f"recipe: {num_kills} kills, {num_runs} runs")
