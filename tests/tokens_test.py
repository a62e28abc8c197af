"""Tokens are the texts' words in order, from the reader to the batch."""

import json

import numpy as np
import pytest
import tensorflow as tf
from sklearn.feature_extraction import text as sklearn_text

from tfxml.data import inputs, instances, split_reader
from tfxml.data.feeding import batching, in_memory, on_device, pipeline, subset
from tfxml.data.formats import folder
from tfxml.data.text import text_features, text_fitting, text_rows

TEXTS = [
    "the cat sat on the mat; the CAT sat",
    "",
    "Straße a Ärger über Öl, İstanbul",
    "unknown words alone",
    "x y z !?",
    "über the mat",
]
FITTED = [[TEXTS[0], TEXTS[2], TEXTS[5]]]
SETTINGS = [
    {},
    {"ngrams": 3},
    {"max_features": 4},
    {"unicode_normalization": "NFKC"},
    {"hash_buckets": 50},
    {"hash_buckets": 50, "ngrams": 2},
]


def _expected(features, text, max_tokens=None):
    """Returns the tokens of a text by scikit-learn's analyzer."""
    words = sklearn_text.TfidfVectorizer().build_analyzer()(text)
    if features.hash_buckets:
        size = features.hash_buckets
        ids = [int(tf.strings.to_hash_bucket_fast(w, size)) for w in words]
    else:
        known = {term: place for place, term in enumerate(features.terms)}
        ids = [known[word] for word in words if word in known]
    return [place + 1 for place in ids][:max_tokens]


@pytest.mark.parametrize("max_tokens", [None, 1, 3, 100])
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_tokens_are_the_words_in_order(settings, max_tokens):
    features = text_fitting.fit(FITTED, **settings)
    tokens = features.tokens(tf.constant(TEXTS), max_tokens)
    assert tokens.dtype == tf.int32
    assert tokens.row_splits.dtype == tf.int64
    assert tokens.to_list() == [
        _expected(features, text, max_tokens) for text in TEXTS
    ]
    in_graph = tf.function(
        lambda texts: features.tokens(texts, max_tokens),
        input_signature=[tf.TensorSpec([None], tf.string)],
    )
    assert in_graph(TEXTS).to_list() == tokens.to_list()
    assert in_graph(np.zeros(0, object)).to_list() == []


def test_words_count_as_often_in_features_as_in_tokens():
    """With counts as values a row is the histogram of its tokens."""
    settings = {"sublinear_tf": False, "use_idf": False}
    features = text_fitting.fit(FITTED, **settings)
    ids, values = features(tf.constant(TEXTS))
    tokens = features.tokens(tf.constant(TEXTS)).to_list()
    for row, row_tokens in enumerate(tokens):
        counts = np.bincount(row_tokens, minlength=features.num_features + 1)
        assert counts[0] == 0
        np.testing.assert_array_equal(ids[row], np.flatnonzero(counts) - 1)
        length = np.linalg.norm(counts)
        np.testing.assert_allclose(
            values[row], counts[counts > 0] / (length or 1), rtol=1e-6
        )


@pytest.mark.parametrize("max_tokens", [0, -1, 2.0, True, "3"])
def test_a_limit_must_be_a_positive_integer(max_tokens):
    features = text_fitting.fit(FITTED)
    with pytest.raises(ValueError, match="`max_tokens` must be an integer"):
        features.tokens(tf.constant(TEXTS), max_tokens)


@pytest.mark.parametrize("settings", SETTINGS[::2], ids=str)
def test_a_stream_yields_rows_and_their_tokens(settings):
    features = text_fitting.fit(FITTED, **settings)
    runs = [TEXTS[:2], [], TEXTS[2:]]
    without = text_rows.stream(features, runs)
    with_tokens = text_rows.stream(
        features, runs, with_tokens=True, max_tokens=4
    )
    for run, plain, row in zip(runs, without, with_tokens, strict=True):
        *rows, splits, token_ids = row
        for one, other in zip(rows, plain, strict=True):
            np.testing.assert_array_equal(one, other)
        assert (splits.dtype, token_ids.dtype) == (np.int64, np.int32)
        assert _lists(splits, token_ids) == [
            _expected(features, text, 4) for text in run
        ]


def test_texts_are_split_once_for_features_and_tokens():
    """What `text_rows` relies on: TensorFlow merges what both compute."""
    metadata = tf.compat.v1.RunMetadata()
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        features = text_features.TextFeatures(hash_buckets=50)
        texts = tf.compat.v1.placeholder(tf.string, [None])
        session.run(
            [features(texts)[0].values, features.tokens(texts).values],
            {texts: TEXTS},
            tf.compat.v1.RunOptions(output_partition_graphs=True),
            metadata,
        )
    nodes = [node for graph in metadata.partition_graphs for node in graph.node]
    assert [node.op for node in nodes].count("StringSplitV2") == 1


def _lists(splits, ids):
    edges = zip(splits[:-1], splits[1:], strict=True)
    return [ids[start:end].tolist() for start, end in edges]


@pytest.fixture(scope="module")
def text_folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("text")
    for split in ("trn", "tst"):
        rows = [
            {"title": text, "target_ind": [row % 2]}
            for row, text in enumerate(TEXTS * 60)
        ]
        content = "".join(json.dumps(row) + "\n" for row in rows)
        (path / f"{split}.json").write_text(content)
    return folder.detect(str(path))


@pytest.mark.parametrize("max_tokens", [None, 4])
def test_a_split_is_read_with_its_tokens(text_folder, max_tokens):
    features = split_reader.fit_text_features(text_folder, min_df=1)
    plain = split_reader.read(text_folder, "train", features, False)
    assert not plain.has_tokens
    found = split_reader.read(
        text_folder,
        "train",
        features,
        False,
        with_tokens=True,
        max_tokens=max_tokens,
    )
    assert _lists(found.token_splits, found.token_ids) == 60 * [
        _expected(features, text, max_tokens) for text in TEXTS
    ]
    for name in ("feature_splits", "feature_ids", "feature_values"):
        np.testing.assert_array_equal(
            getattr(found, name), getattr(plain, name)
        )


def test_data_without_text_have_no_tokens(tmp_path):
    for name in ("train", "test"):
        (tmp_path / f"{name}.txt").write_text("1 9 4\n0 1:1\n")
    source = folder.detect(str(tmp_path))
    with pytest.raises(ValueError, match="`with_tokens` must be False"):
        split_reader.read(source, "train", None, False, with_tokens=True)


# Rows of tokens with repeats, out of order, and empty ones.
TOKENS = [[3, 1, 3], [], [7], [2, 2, 2, 2, 9], [1], [], [5, 4]]
D, L = 9, 4


def _instances(tokens=TOKENS, with_tokens=True):
    number = len(tokens)
    lengths = np.arange(number) % 3
    extra = ()
    if with_tokens:
        extra = (
            instances.splits_from_lengths(list(map(len, tokens))),
            np.array(sum(tokens, []), np.int32),
        )
    return instances.Instances(
        instances.splits_from_lengths(lengths),
        np.concatenate([np.arange(n) for n in lengths]).astype(np.int32),
        np.arange(lengths.sum(), dtype=np.float32) + 1,
        instances.splits_from_lengths(np.ones(number, np.int64)),
        (np.arange(number) % L).astype(np.int32),
        None,
        *extra,
    )


def test_instances_are_joined_and_chosen_with_their_tokens():
    whole = _instances()
    parts = [
        instances.select(whole, np.arange(*edges))
        for edges in ((0, 3), (3, 3), (3, 7))
    ]
    joined = instances.concatenate(parts)
    assert _lists(joined.token_splits, joined.token_ids) == TOKENS
    chosen = instances.select(whole, np.array([3, 1, 3, 0]))
    assert _lists(chosen.token_splits, chosen.token_ids) == [
        TOKENS[row] for row in (3, 1, 3, 0)
    ]
    without = _instances(with_tokens=False)
    assert not instances.concatenate([without, without]).has_tokens
    with pytest.raises(ValueError, match="1 of 2 runs with tokens"):
        instances.concatenate([whole, without])


def _source(with_tokens=True):
    whole = _instances(with_tokens=with_tokens)
    return in_memory.InMemorySource(whole, D, L)


def test_sources_tell_the_longest_token_row():
    assert _source().max_lengths() == inputs.MaxLengths(2, 1, 5)
    assert _source(False).max_lengths() == inputs.MaxLengths(2, 1, 0)
    chosen = subset.SubsetSource(_source(), np.array([2, 3]))
    assert chosen.max_lengths().tokens == 5


@pytest.mark.parametrize("is_padded", [False, True])
def test_batches_hold_tokens_by_name(is_padded):
    seen = []
    for batch in pipeline.evaluation(_source(), 3, is_padded=is_padded):
        assert list(batch.inputs) == [
            inputs.FEATURE_IDS,
            inputs.FEATURE_VALUES,
            inputs.TOKEN_IDS,
        ]
        tokens = batch.inputs[inputs.TOKEN_IDS]
        assert tokens.dtype == tf.int32
        if is_padded:
            assert tokens.shape == (3, 5)
            is_row = batch.instances.numpy() >= 0
            assert not tokens.numpy()[~is_row].any()
            # No token is 0, so what is left of a row is its tokens.
            seen += [row[row > 0].tolist() for row in tokens.numpy()[is_row]]
        else:
            seen += tokens.to_list()
    assert seen == TOKENS


@pytest.mark.parametrize("is_padded", [False, True])
def test_rows_without_any_token_are_padded_to_one_place(is_padded):
    whole = _instances([[], [], []])
    source = in_memory.InMemorySource(whole, D, L)
    assert source.max_lengths().tokens == 0
    (batch,) = pipeline.evaluation(source, 3, is_padded=is_padded)
    tokens = batch.inputs[inputs.TOKEN_IDS]
    if is_padded:
        assert tokens.numpy().tolist() == [[0], [0], [0]]
    else:
        assert tokens.to_list() == [[], [], []]


def test_a_worker_makes_batches_of_tensors_that_were_sent():
    """As the asynchronous loop and its evaluator do."""
    source = subset.SubsetSource(_source(), np.array([6, 3, 0]))
    other = subset.SubsetSource(
        in_memory.InMemorySource(_instances([[1]] * 7), D, L),
        np.array([0, 1, 2]),
    )
    batch = pipeline.evaluation_batch(other)(0, 0, 3, source.tensors)
    tokens = batch.inputs[inputs.TOKEN_IDS]
    assert tokens.to_list() == [TOKENS[row] for row in (6, 3, 0)]


@pytest.mark.parametrize("is_padded", [False, True])
def test_tokens_travel_to_the_device(is_padded):
    def dataset(context):
        return pipeline.training(
            _source(),
            batching.ByInstances(7, 3),
            seed=0,
            first_step=0,
            num_steps=3,
            shard=pipeline.shard_of(context),
            is_padded=is_padded,
        )

    strategy = tf.distribute.OneDeviceStrategy("CPU:1")
    seen = {}
    for element in on_device.distribute(strategy, dataset):
        tensors = tf.nest.flatten(element)
        assert all(isinstance(tensor, tf.Tensor) for tensor in tensors)
        assert {tensor.device[-5:] for tensor in tensors} == {"CPU:1"}
        batch = on_device.whole(element)
        for row, tokens in zip(
            batch.instances.numpy(),
            batch.inputs[inputs.TOKEN_IDS],
            strict=True,
        ):
            seen[row] = [token for token in tokens.numpy() if token]
    seen.pop(-1, None)
    assert seen == dict(enumerate(TOKENS))
