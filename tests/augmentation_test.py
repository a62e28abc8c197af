"""Mixup and span cut against their definitions."""

import numpy as np
import pytest
import runs
import tensorflow as tf

from tfxml import config as config_lib
from tfxml.data import inputs
from tfxml.models import mixed_instances
from tfxml.models.encoders import conv_encoder
from tfxml.run import build, train_and_evaluate, workdir

N, D, L = 12, 20, 9
SEED = tf.constant([3, 8])


def test_pairs_are_a_permutation_with_shares_of_beta():
    weights = tf.constant([1.0] * 3000 + [0.0] * 10)
    partners, shares = mixed_instances.draw(0.4, weights, SEED)
    assert sorted(partners.numpy()) == list(range(3010))
    is_padding = partners.numpy() >= 3000
    assert (shares.numpy()[is_padding] == 1).all()
    shares = shares.numpy()[~is_padding]
    # Beta(a, a): mean 1/2, variance 1 / (4 (2 a + 1)).
    assert abs(shares.mean() - 0.5) < 0.03
    assert abs(shares.var() - 1 / (4 * 1.8)) < 0.01
    again = mixed_instances.draw(0.4, weights, SEED)
    np.testing.assert_array_equal(again.partners, partners)
    other = mixed_instances.draw(0.4, weights, SEED + 1)
    assert not np.array_equal(other.partners, partners)


@pytest.mark.parametrize("head", ["sigmoid", "mach"])
def test_the_loss_is_that_of_mixed_vectors_and_labels(head):
    words = {"num_repetitions": 2, "num_buckets": 5, "label_block_size": 4}
    config = config_lib.Config(
        head=head, hidden_units=(6,), dropout=0.0, mixup=0.5, **words
    )
    facts = workdir.Facts(D, L, 100, "compact", False, "")
    model = build.model(config, facts, None)
    rng = np.random.default_rng(0)
    for weight in model.trainable_variables:
        weight.assign(rng.normal(size=weight.shape))
    ids = [sorted(rng.choice(D, 4, False).tolist()) for _ in range(N)]
    ids = tf.ragged.constant(ids, tf.int32)
    batch = inputs.features(ids, ids.with_values(tf.ones(4 * N)))
    labels = [rng.choice(L, rng.integers(1, 4), False) for _ in range(N)]
    weights = np.float32([0.0] + [0.5] * (N - 1))
    found = model.loss_sum(
        batch,
        tf.ragged.constant([one.tolist() for one in labels], tf.int32),
        tf.constant(weights),
        SEED,
    )
    partners, shares = mixed_instances.draw(0.5, tf.constant(weights), SEED)
    (vectors,) = model.encode(batch)
    share = shares.numpy()[:, None]
    vectors = share * vectors + (1 - share) * vectors.numpy()[partners]
    blocks = model.head.blocks
    logits = [block.call(tf.constant(vectors)).numpy() for block in blocks]
    tables = [np.arange(L) - 4 * b for b in range(len(blocks))]
    if head == "mach":
        tables = [one.table(L).astype(int) for one in model.head.hashes]
    wanted = 0.0
    for values, table in zip(logits, tables, strict=True):
        targets = np.zeros(values.shape)
        for row in range(N):
            for whose, part in (
                (row, shares[row]),
                (partners[row], 1 - shares[row]),
            ):
                places = {
                    int(p)
                    for p in np.asarray(table)[labels[int(whose)]]
                    if 0 <= p < values.shape[1]
                }
                targets[row, sorted(places)] += float(part)
        losses = np.logaddexp(0, values) - targets * values
        wanted += (weights[:, None] * losses).sum()
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    sure = model.loss_sum(
        batch,
        tf.ragged.constant([one.tolist() for one in labels], tf.int32),
        tf.constant(weights),
    )
    assert not np.isclose(found, sure)  # predicting mixes nothing


def test_a_run_of_words_is_cut():
    encoder = conv_encoder.ConvEncoder(9, 3, 2, (1,), span_cut=0.4)
    lengths = np.array([10, 5, 2, 0] * 50)
    is_word = np.float32(np.arange(12) < lengths[:, None])
    words = tf.constant(np.ones((len(lengths), 12, 3), np.float32))
    found = encoder.cut_span(words, tf.constant(is_word), SEED).numpy()
    assert (found == found[:, :, :1]).all()
    starts = set()
    for row, length in zip(found[:, :, 0], lengths, strict=True):
        cut = np.flatnonzero(row == 0)
        assert len(cut) == int(0.4 * length)
        if len(cut):
            assert (np.diff(cut) == 1).all() and cut[-1] < length
        if length == 10:
            starts.add(int(cut[0]))
    assert starts == set(range(7))
    same = encoder.cut_span(words, tf.constant(is_word), SEED)
    np.testing.assert_array_equal(same, found)
    assert encoder.cut_span(words, tf.constant(is_word), None) is words


def test_what_has_no_vector_is_not_mixed():
    for words in (
        {"hidden_units": ()},
        {"head": "label_attention", "encoder": "conv"},
    ):
        with pytest.raises(ValueError, match="`mixup` must be 0 unless"):
            config_lib.Config(mixup=0.2, **words)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["compact", "padded"])
def test_a_run_with_mixup_ends_and_repeats(form, tmp_path):
    config = config_lib.Config(
        synthetic_labels=40,
        synthetic_train=230,
        synthetic_test=30,
        hidden_units=(8,),
        num_epochs=2,
        mixup=0.3,
        form=form,
    )
    weights = []
    for name in "ab":
        found = train_and_evaluate.train(config, str(tmp_path / name))
        assert 0 < found["P@1"] <= 100
        weights.append(runs.tensors(tmp_path / name))
    runs.assert_near(*weights)
