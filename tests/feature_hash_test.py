"""Features hashed before the first layer, against a dense product in NumPy."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tfxml import config as config_lib
from tfxml.data import inputs
from tfxml.mach import hashing
from tfxml.models import row_forms, sites
from tfxml.models.encoders import bag_encoder
from tfxml.run import build, workdir

D, F, H = 40, 7, 5  # features, their buckets, units


def _rows(rng, num_rows=6):
    sets = [
        sorted(rng.choice(D, rng.integers(0, 9), False))
        for _ in range(num_rows)
    ]
    ids = tf.ragged.constant(sets, dtype=tf.int32)
    values = rng.normal(size=len(ids.flat_values))
    return sets, ids, ids.with_values(tf.constant(values, tf.float32))


@pytest.mark.parametrize("form", row_forms.FORMS)
def test_features_of_one_bucket_add_up(form):
    rng = np.random.default_rng(0)
    label_hash = hashing.from_seed(3, 0, F, D)
    encoder = bag_encoder.BagEncoder(F, [H], feature_hash=label_hash)
    sets, ids, values = _rows(rng)
    dense = np.zeros((len(sets), F))
    flat = iter(values.flat_values.numpy())
    for row, one in enumerate(sets):
        for feature in one:
            bucket = (label_hash.a * int(feature) + label_hash.b) % (
                label_hash.prime
            )
            dense[row, bucket % F] += next(flat)
    if form == "padded":
        ids, values = ids.to_tensor(0), values.to_tensor(0.0)
    found = encoder.call(encoder.arrange(inputs.features(ids, values), form))
    expected = np.maximum(dense @ encoder.kernels[0].numpy(), 0)
    np.testing.assert_allclose(found, expected, atol=1e-5)


CONFIG = config_lib.Config(
    head="mach",
    num_repetitions=4,
    num_buckets=9,
    num_encoders=2,
    feature_buckets=16,
    hidden_units=(3,),
)
FACTS = workdir.Facts(100, 50, 10, "compact", False, "")


def test_each_encoder_has_a_hash_of_its_own():
    one, two = build.model(CONFIG, FACTS, np.ones(50)).encoders
    assert one.feature_hash != two.feature_hash
    assert one.feature_hash.num_buckets == one.num_features == 16
    again = type(one).from_config(one.get_config())
    assert again.feature_hash == one.feature_hash


def test_encoders_of_a_model_read_their_own_rows():
    model = build.model(CONFIG, FACTS, np.ones(50))
    _, ids, values = _rows(np.random.default_rng(1))
    together = model.encode(inputs.features(ids, values))
    for encoder, found in zip(model.encoders, together, strict=True):
        alone = encoder.call(
            encoder.arrange(inputs.features(ids, values), "compact")
        )
        np.testing.assert_array_equal(found, alone)


def test_a_linear_model_of_hashed_features_is_refused():
    with pytest.raises(ValueError, match="feature_buckets"):
        CONFIG.replace(hidden_units=())


def test_too_little_room_for_labels_is_refused():
    config = CONFIG.replace(label_capacity=49)
    with pytest.raises(ValueError, match="label_capacity"):
        build.model(config, FACTS, np.ones(50))


def test_a_threshold_decode_of_padded_rows_is_refused():
    config = CONFIG.replace(decode="threshold")
    facts = dataclasses.replace(FACTS, form="padded")
    with pytest.raises(ValueError, match="`decode`"):
        build.model(config, facts, np.ones(50))


def test_labels_never_seen_do_not_outweigh_the_others():
    counts = np.zeros(100_000, np.int64)
    counts[:1000] = 1
    priors = sites.Site(len(counts), 1, 500, label_counts=counts).label_priors()
    assert priors[1000:].sum() <= 1000 / 500
    assert 0 < priors[-1] < priors[0]


def test_a_few_labels_never_seen_count_half():
    priors = sites.Site(
        4, 1, 9, label_counts=np.array([0, 1, 1, 4])
    ).label_priors()
    np.testing.assert_allclose(priors, [0.05, 0.15, 0.15, 0.45])
