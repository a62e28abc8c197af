"""Batches by number of features: bounded, whole epochs, the same for all."""

import dataclasses
import signal
import subprocess
import time

import numpy as np
import pytest
import runs
import tensorflow as tf

from tfxml import config as config_lib
from tfxml import prepare
from tfxml.data import instances
from tfxml.data.feeding import batching, in_memory, pipeline, subset
from tfxml.run import datasets, train_and_evaluate

D, L = 200, 5


def _source(lengths):
    lengths = np.asarray(lengths)
    ids = [np.arange(length) for length in lengths]
    return in_memory.InMemorySource(
        instances.Instances(
            instances.splits_from_lengths(lengths),
            np.concatenate([np.zeros(0), *ids]).astype(np.int32),
            np.ones(lengths.sum(), np.float32),
            instances.splits_from_lengths(np.ones(len(lengths), int)),
            np.zeros(len(lengths), np.int32),
        ),
        D,
        L,
    )


def _lengths(num_instances, most=40, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, most + 1, num_instances)


def _epochs(source, cut, num_epochs=2, seed=3, num_replicas=1):
    """Returns the instances of each epoch's steps, of each replica."""
    steps_per_epoch = cut.steps_per_epoch
    found = [[[] for _ in range(steps_per_epoch)] for _ in range(num_epochs)]
    for replica in range(num_replicas):
        shares = pipeline.training(
            source,
            cut,
            seed,
            0,
            num_epochs * steps_per_epoch,
            pipeline.Shard(num_replicas, replica, 1),
        )
        for step, share in enumerate(shares):
            epoch, step = divmod(step, steps_per_epoch)
            found[epoch][step].append(share.instances.numpy().tolist())
    return found


def _expected(lengths, order, batch_size, budget, num_replicas):
    """Returns the shares of an epoch, instance by instance."""
    least = -(-budget // batch_size)
    weights = [max(length, least) for length in lengths]
    total = sum(weights)
    steps = -(-total // (budget + 1 - max(weights)))
    shares = [[[] for _ in range(num_replicas)] for _ in range(steps)]
    number, begin, share = steps * num_replicas, 0, 0
    for instance in order:
        # The last share whose limit, share * total / number, is not passed.
        while (share + 1) * total // number <= begin:
            share += 1
        shares[share // num_replicas][share % num_replicas].append(instance)
        begin += weights[instance]
    return shares


CASES = [
    (_lengths(300), 50, 200),
    (_lengths(300), 1000, 80),
    (_lengths(300, most=1), 7, 100),
    (np.zeros(20, int), 4, 10),
    ([40] + [1] * 50, 6, 80),
    ([3], 2, 6),
]


@pytest.mark.parametrize("num_replicas", [1, 2, 3])
@pytest.mark.parametrize(("lengths", "batch_size", "budget"), CASES)
def test_shares_are_those_of_the_definition(
    lengths, batch_size, budget, num_replicas
):
    source = _source(lengths)
    cut = batching.ByNonzeros(source.row_lengths(), batch_size, budget)
    for epoch in _epochs(source, cut, num_replicas=num_replicas):
        order = [i for step in epoch for share in step for i in share]
        assert sorted(order) == list(range(len(lengths)))
        assert epoch == _expected(
            lengths, order, batch_size, budget, num_replicas
        )


@pytest.mark.parametrize(("lengths", "batch_size", "budget"), CASES)
def test_batches_are_within_both_bounds(lengths, batch_size, budget):
    source = _source(lengths)
    cut = batching.ByNonzeros(source.row_lengths(), batch_size, budget)
    for epoch in _epochs(source, cut):
        for (rows,) in epoch:
            assert len(rows) <= batch_size
            assert sum(np.asarray(lengths)[rows]) <= budget


def test_batches_are_of_about_equal_size():
    lengths = _lengths(2000)
    source = _source(lengths)
    cut = batching.ByNonzeros(source.row_lengths(), 1000, 1000)
    sizes = [sum(lengths[rows]) for (rows,) in _epochs(source, cut, 1)[0]]
    assert max(sizes) - min(sizes) <= 2 * 40
    assert cut.steps_per_epoch <= -(-lengths.sum() // (1000 - 40 - 1))


def test_any_number_of_workers_takes_the_same_global_batches():
    source = _source(_lengths(300))
    cut = batching.ByNonzeros(source.row_lengths(), 50, 200)
    one, two, three = (
        [
            [sum(step, []) for step in epoch]
            for epoch in _epochs(source, cut, num_replicas=number)
        ]
        for number in (1, 2, 3)
    )
    assert one == two == three
    assert one[0] != one[1]


def test_the_order_goes_on_at_any_step():
    source = _source(_lengths(300))
    cut = batching.ByNonzeros(source.row_lengths(), 50, 200)
    number = 2 * cut.steps_per_epoch

    def steps(first):
        found = pipeline.training(source, cut, 3, first, number)
        return [batch.instances.numpy().tolist() for batch in found]

    whole = steps(0)
    for first in (1, cut.steps_per_epoch, number - 1):
        assert steps(first) == whole[first:]


def test_cuts_do_not_depend_on_how_they_are_computed(monkeypatch):
    source = _source(_lengths(300))
    cut = batching.ByNonzeros(source.row_lengths(), 50, 200)
    whole = _epochs(source, cut)
    monkeypatch.setattr(batching, "_CHUNK", 7)
    assert _epochs(source, cut) == whole


def test_large_sums_do_not_overflow():
    """3 million rows of 10,000, 10 to a batch: sums times shares pass 2^53."""
    lengths = np.full(3_000_000, 10_000, np.int32)
    cut = batching.ByNonzeros(lengths, 100, 109_999)
    edges = cut.edges(tf.identity, 8).numpy()
    shares = np.diff(edges).reshape(-1, 8)
    assert shares.sum() == 3_000_000
    assert set(np.unique(shares.sum(1))) == {10}


@pytest.mark.parametrize(
    ("batch_size", "budget", "words"),
    [
        (50, 79, "`batch_nonzeros` must be at least twice .* has 40"),
        (1, 80, "`batch_size` must be at least 2"),
    ],
)
def test_budgets_that_cannot_hold_are_refused(batch_size, budget, words):
    with pytest.raises(ValueError, match=words):
        batching.ByNonzeros(np.array([40, 3]), batch_size, budget)


def test_static_shapes_are_refused():
    source = _source([1, 2, 3])
    cut = batching.ByNonzeros(source.row_lengths(), 4, 6)
    with pytest.raises(ValueError, match="`batch_nonzeros` must be 0"):
        pipeline.training(source, cut, 0, 0, 1, is_padded=True)
    with pytest.raises(ValueError, match="`batch_nonzeros` must be 0"):
        config_lib.Config(batch_nonzeros=100, form="padded")


@pytest.mark.parametrize("values", ["equal", "different"])
def test_records_tell_their_row_lengths(values, tmp_path):
    """As memory does; also of rows that keep one value for all."""
    data = tmp_path / "data"
    data.mkdir()
    rng = np.random.default_rng(0)
    for name in ("train", "test"):
        lines = ["90 30 4"]
        for row in range(90):
            ids = np.unique(rng.integers(0, 30, row % 9))
            pairs = (
                f"{i}:{1 if values == 'equal' else rng.random():.3f}"
                for i in ids
            )
            lines.append(f"{row % 4} {' '.join(pairs)}")
        (data / f"{name}.txt").write_text("\n".join(lines) + "\n")
    config = config_lib.Config()
    prepare.prepare(config, str(data), str(tmp_path / "out"), num_shards=3)
    in_memory_data = datasets.training_data(config, str(data))
    on_disk = datasets.training_data(config, str(tmp_path / "out"))
    np.testing.assert_array_equal(
        in_memory_data.train.row_lengths(), on_disk.train.row_lengths()
    )


def test_generated_and_chosen_rows_tell_their_lengths():
    config = config_lib.Config(synthetic_train=300, synthetic_labels=40)
    source = datasets.training_data(config, "").train
    found, _ = source.rows(tf.range(300, dtype=tf.int64))
    lengths = found["feature_ids"].row_lengths().numpy()
    np.testing.assert_array_equal(source.row_lengths(), lengths)
    chosen = np.array([5, 2, 299])
    np.testing.assert_array_equal(
        subset.SubsetSource(source, chosen).row_lengths(), lengths[chosen]
    )


TINY = config_lib.Config(
    synthetic_labels=60,
    synthetic_train=330,
    synthetic_test=90,
    hidden_units=(16,),
    dropout=0.2,
    batch_size=90,
    batch_nonzeros=1200,
    num_epochs=3,
    steps_per_loop=2,
    checkpoint_steps=2,
)


def _words(config):
    default = config_lib.Config()
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if value != getattr(default, field.name):
            if isinstance(value, tuple):
                value = ",".join(map(str, value))
            yield f"--{field.name}={value}"


@pytest.mark.slow
def test_killed_and_resumed_ends_with_the_same_weights(tmp_path):
    words = runs.command("tfxml.train", *_words(TINY))
    process = subprocess.Popen(
        [*words, f"--workdir={tmp_path / 'killed'}"], stdout=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while not list(
        (tmp_path / "killed").glob("checkpoints/step_*/model.index")
    ):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    train_and_evaluate.train(TINY, str(tmp_path / "killed"))
    train_and_evaluate.train(TINY, str(tmp_path / "whole"))
    runs.assert_near(
        runs.tensors(tmp_path / "killed"), runs.tensors(tmp_path / "whole")
    )
    steps = runs.entries(tmp_path / "whole")[-1]["step"]
    assert steps % 3 == 0 and steps > 3 * 4  # more than by 90 instances


@pytest.mark.slow
def test_two_replicas_equal_one_device(tmp_path):
    config = TINY.replace(dropout=0.0, global_clipnorm=0.5)
    train_and_evaluate.train(config, str(tmp_path / "one"))
    words = [*_words(config), "--strategy=mirrored", "--logical_cpus=2"]
    runs.run(
        runs.command("tfxml.train", *words, f"--workdir={tmp_path / 'two'}")
    )
    runs.assert_near(
        runs.tensors(tmp_path / "one", "model/"),
        runs.tensors(tmp_path / "two", "model/"),
        atol=1e-5,
    )


# --- batches of one length --------------------------------------------------


@pytest.mark.parametrize("num_replicas", [1, 2])
@pytest.mark.parametrize("number", [1, 7, 64, 203])
def test_batches_by_length_hold_every_instance_once(number, num_replicas):
    lengths = _lengths(number)
    cut = batching.ByLength(lengths, 8, 5)
    plain = batching.ByInstances(number, 8)
    assert cut.steps_per_epoch == plain.steps_per_epoch
    epochs = _epochs(_source(lengths), cut, num_replicas=num_replicas)
    assert epochs == _epochs(_source(lengths), cut, num_replicas=num_replicas)
    for epoch, shuffled in zip(
        epochs, _epochs(_source(lengths), plain), strict=True
    ):
        steps = [sum(shares, []) for shares in epoch]
        assert sorted(sum(steps, [])) == list(range(number))
        for first in range(0, len(steps), 5):  # of a window the same ones
            window = sum(steps[first : first + 5], [])
            others = sum(sum(shuffled[first : first + 5], []), [])
            assert sorted(window) == sorted(others)
        for first in range(0, len(steps), 5):
            whole = [s for s in steps[first : first + 5] if len(s) == 8]
            runs_ = sorted(
                (min(lengths[step]), max(lengths[step])) for step in whole
            )
            # Runs of the sorted window: no batch reaches into the next.
            for (_, most), (least, _) in zip(runs_, runs_[1:], strict=False):
                assert most <= least


def test_batches_by_length_have_less_padding():
    lengths = _lengths(512, most=100)

    def places(cut):
        (epoch,) = _epochs(_source(lengths), cut, num_epochs=1)
        return sum(
            len(rows) * max(lengths[rows]) for step in epoch for rows in step
        )

    by_length = places(batching.ByLength(lengths, 8, 64))
    assert by_length < 1.05 * lengths.sum()
    assert places(batching.ByInstances(512, 8)) > 1.6 * lengths.sum()


def test_the_batches_of_a_window_come_in_another_order_each_epoch():
    lengths = np.arange(80)
    cut = batching.ByLength(lengths, 8, 10)
    one, other = _epochs(_source(lengths), cut)
    firsts = [[min(shares[0]) for shares in epoch] for epoch in (one, other)]
    assert firsts[0] != firsts[1] and sorted(firsts[0]) == sorted(firsts[1])
    assert firsts[0] != sorted(firsts[0])
