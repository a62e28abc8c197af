"""TF-IDF rows against scikit-learn's, and against counts made by hand."""

import collections
import gzip
import itertools
import json
import math
import unicodedata

import keras
import numpy as np
import pytest
import scipy.sparse
import tensorflow as tf
from sklearn import preprocessing
from sklearn.feature_extraction import text as sklearn_text

from tfxml.data import data_errors
from tfxml.data.text import (
    text_features,
    text_fitting,
    text_rows,
    vocabulary,
)

TEXTS = [
    "The cat, the CAT sat on a mat; the mat sat. The cat!",
    "Die Straße über Öl — STRASSE GROẞ, Ärger über Öl",
    "ΟΔΥΣΣΕΥΣ ΑΣ.Α ΑΣ:Σ οδυσσευς",
    "İstanbul ISPARTA Ísland istanbul the cat",
    "漢字かな交じり文、カタカナ 数 数数 한국어 한국어",
    "cafe\u0301 café हिन्दी",
    "",
    "snake_case snake_case __ x_ m² ½ ½½ 12 smile 😀 the",
    "!?. ,;",
    "one\ntwo\tthree\u00a0four one\0two\0 three\u2028one the cat sat",
    "the öl of the cat",
]
RUNS = [TEXTS[:4], TEXTS[4:5], [], TEXTS[5:]]
ODD_TEXTS = [
    *TEXTS,
    "cafe\u0301 o\u0308l \u2126\u212b \u1112\u1161\u11ab\u1100\u1173\u11af",
    "ｆｉｓｈ ﬁsh ｶﾀｶﾅ m² ㍻ ſtraße TITLE™ fish",
]


def analyze(ngrams):
    return sklearn_text.TfidfVectorizer(
        ngram_range=(1, ngrams)
    ).build_analyzer()


def assert_rows_equal(rows, matrix):
    ids, values = rows
    assert ids.row_splits.dtype == values.row_splits.dtype == tf.int64
    assert (ids.dtype, values.dtype) == (tf.int32, tf.float32)
    matrix.sort_indices()
    np.testing.assert_array_equal(ids.row_splits, matrix.indptr)
    np.testing.assert_array_equal(values.row_splits, matrix.indptr)
    np.testing.assert_array_equal(ids.values, matrix.indices)
    np.testing.assert_allclose(values.values, matrix.data, rtol=1e-5, atol=1e-6)


def assert_equals_peer(features, peer, texts):
    assert list(features.terms) == list(peer.get_feature_names_out())
    assert features.num_features == len(peer.vocabulary_)
    assert_rows_equal(features(tf.constant(texts)), peer.transform(texts))


@pytest.mark.parametrize("ngrams", [1, 2])
@pytest.mark.parametrize(
    "settings",
    [
        {"sublinear_tf": True},
        {"sublinear_tf": False},
        {"sublinear_tf": True, "use_idf": False},
        {"sublinear_tf": False, "use_idf": False},
        {"sublinear_tf": True, "min_df": 2},
        {"sublinear_tf": True, "min_df": 0.25},
        {"sublinear_tf": True, "max_features": 2},
        {"sublinear_tf": True, "max_features": 10_000},
        {"sublinear_tf": False, "min_df": 3, "max_features": 2},
    ],
)
def test_equals_scikit_learn(ngrams, settings):
    features = text_fitting.fit(RUNS, ngrams=ngrams, **settings)
    peer = sklearn_text.TfidfVectorizer(
        ngram_range=(1, ngrams), **settings
    ).fit(TEXTS)
    assert_equals_peer(features, peer, TEXTS)
    assert_equals_peer(features, peer, ["unseen words", "the", "CAT öl zzz"])


@pytest.mark.parametrize("use_idf", [True, False])
def test_ngrams_of_two_words_and_more_get_a_weight(use_idf):
    features = text_fitting.fit(
        RUNS, ngrams=3, ngram_weight=0.4, use_idf=use_idf, min_df=2
    )
    peer = sklearn_text.TfidfVectorizer(
        ngram_range=(1, 3),
        sublinear_tf=True,
        use_idf=use_idf,
        norm=None,
        min_df=2,
    ).fit(TEXTS)
    terms = peer.get_feature_names_out()
    assert list(features.terms) == list(terms)
    factors = np.array([0.4 if len(t.split()) > 1 else 1.0 for t in terms])
    assert 0 < (factors == 1).sum() < len(factors)
    weighted = peer.transform(TEXTS) @ scipy.sparse.diags(factors)
    assert_rows_equal(
        features(tf.constant(TEXTS)), preprocessing.normalize(weighted).tocsr()
    )


def test_rare_terms_count_more_by_a_power():
    features = text_fitting.fit(RUNS, idf_power=1.5)
    peer = sklearn_text.TfidfVectorizer(sublinear_tf=True, norm=None).fit(TEXTS)
    root = scipy.sparse.diags(np.sqrt(peer.idf_))
    assert_rows_equal(
        features(tf.constant(TEXTS)),
        preprocessing.normalize(peer.transform(TEXTS) @ root).tocsr(),
    )
    plain = text_fitting.fit(RUNS, hash_buckets=16)
    weighted = text_fitting.fit(RUNS, hash_buckets=16, idf_power=1.5)
    np.testing.assert_allclose(weighted.idf, plain.idf**1.5, rtol=1e-6)


@pytest.mark.parametrize("power", [0, float("inf"), float("nan")])
def test_bad_powers(power):
    with pytest.raises(ValueError, match="`idf_power` must be a finite"):
        text_fitting.fit(RUNS, idf_power=power)


@pytest.mark.parametrize(
    ("weight", "buckets", "needed"),
    [
        (0, None, "above 0"),
        (float("nan"), None, "finite"),
        (0.5, 8, "1 with `hash_buckets`"),
    ],
)
def test_bad_ngram_weights(weight, buckets, needed):
    with pytest.raises(ValueError, match=needed):
        text_fitting.fit(RUNS, ngram_weight=weight, hash_buckets=buckets)


@pytest.mark.parametrize("form", ["NFC", "NFKC"])
@pytest.mark.parametrize("ngrams", [1, 2])
def test_equals_scikit_learn_of_normalized_text(form, ngrams):
    features = text_fitting.fit(
        [ODD_TEXTS], ngrams=ngrams, unicode_normalization=form
    )
    peer = sklearn_text.TfidfVectorizer(
        ngram_range=(1, ngrams),
        sublinear_tf=True,
        preprocessor=lambda text: unicodedata.normalize(form, text).lower(),
    ).fit(ODD_TEXTS)
    assert_equals_peer(features, peer, ODD_TEXTS)
    assert_equals_peer(features, peer, ["ĉafe\u0301 ﬁsh", "the", "O\u0308L"])
    plain = text_fitting.fit([ODD_TEXTS], ngrams=ngrams)
    assert list(plain.terms) != list(features.terms)


def test_one_word_written_in_two_ways():
    texts = tf.constant(["cafe\u0301 ﬁsh", "caf\u00e9 fish"])
    for form, is_same in (("none", False), ("NFC", False), ("NFKC", True)):
        features = text_fitting.fit(
            hash_buckets=2**30,
            batches=[],
            use_idf=False,
            unicode_normalization=form,
        )
        ids, _ = features(texts)
        assert (ids[0].numpy().tolist() == ids[1].numpy().tolist()) == is_same


def test_equal_totals_go_by_the_alphabet():
    documents = ["bb aa aa dd", "cc ee ff ff öö zz", "zz aa ab ﬀﬀ bb"]
    totals = collections.Counter(
        term for text in documents for term in analyze(1)(text)
    )
    ranked = sorted(totals, key=lambda term: (-totals[term], term))
    counts = vocabulary.count([documents[:1], documents[1:]], ngrams=1)
    for max_features in range(1, len(ranked) + 2):
        terms, _ = counts.select(min_df=1, max_features=max_features)
        assert terms == sorted(ranked[:max_features])


def test_counts_outgrow_their_first_room():
    documents = [f"w{n} w{n % 7} w{n % 7}" for n in range(5000)]
    runs = [documents[start : start + 900] for start in range(0, 5000, 900)]
    terms, document_counts = vocabulary.count(runs, ngrams=1).select(1, None)
    expected = collections.Counter(
        term for text in documents for term in set(text.split())
    )
    assert dict(zip(terms, document_counts, strict=True)) == expected


def hashed_rows(documents, texts, num_buckets, ngrams, sublinear_tf, use_idf):
    """Returns rows {bucket: value}, one bucket at a time, in float64."""

    def bucket_counts(text):
        return collections.Counter(
            int(tf.strings.to_hash_bucket_fast(term, num_buckets))
            for term in analyze(ngrams)(text)
        )

    in_documents = collections.Counter(
        bucket for text in documents for bucket in bucket_counts(text)
    )
    for text in texts:
        row = {}
        for bucket, count in sorted(bucket_counts(text).items()):
            value = 1 + math.log(count) if sublinear_tf else count
            if use_idf:
                ratio = (1 + len(documents)) / (1 + in_documents[bucket])
                value *= 1 + math.log(ratio)
            row[bucket] = value
        norm = math.sqrt(sum(value**2 for value in row.values()))
        yield {bucket: value / norm for bucket, value in row.items()}


@pytest.mark.parametrize(
    ("num_buckets", "ngrams", "sublinear_tf", "use_idf"),
    [
        (1, 1, True, True),
        (7, 1, True, True),
        (7, 2, False, True),
        (7, 2, True, False),
        (1 << 20, 1, False, False),
        (1 << 20, 2, True, True),
    ],
)
def test_hashing_against_the_definition(
    num_buckets, ngrams, sublinear_tf, use_idf
):
    features = text_fitting.fit(
        RUNS,
        ngrams=ngrams,
        sublinear_tf=sublinear_tf,
        use_idf=use_idf,
        hash_buckets=num_buckets,
    )
    assert features.num_features == num_buckets
    assert features.terms is None
    texts = [*TEXTS, "words that were never seen"]
    ids, values = features(tf.constant(texts))
    expected = hashed_rows(
        TEXTS, texts, num_buckets, ngrams, sublinear_tf, use_idf
    )
    for row, row_ids, row_values in zip(expected, ids, values, strict=True):
        assert row_ids.numpy().tolist() == list(row)
        np.testing.assert_allclose(row_values, list(row.values()), rtol=1e-5)


def test_hashing_without_idf_reads_no_text():
    def unread():
        raise AssertionError("was read")
        yield

    features = text_fitting.fit(unread(), hash_buckets=8, use_idf=False)
    assert features.num_features == 8


@pytest.fixture(params=["vocabulary", "hashing"], scope="module")
def features(request):
    buckets = 64 if request.param == "hashing" else None
    return text_fitting.fit(RUNS, ngrams=2, hash_buckets=buckets)


@pytest.fixture(scope="module")
def vocabulary_features():
    return text_fitting.fit(RUNS)


def assert_same_rows(one, other):
    for mine, theirs in zip(one, other, strict=True):
        np.testing.assert_array_equal(mine.row_splits, theirs.row_splits)
        np.testing.assert_array_equal(mine.values, theirs.values)


def test_rows_have_unit_length_or_nothing(features):
    ids, values = features(tf.constant(["", "a", "!?", "The cat", "öl ÖL"]))
    assert ids.row_lengths().numpy().tolist()[:3] == [0, 0, 0]
    lengths = tf.reduce_sum(values**2, axis=1).numpy()
    np.testing.assert_allclose(lengths, [0, 0, 0, 1, 1], rtol=1e-6)


def test_no_rows(features):
    ids, values = features(tf.constant([], tf.string))
    assert ids.row_splits.numpy().tolist() == [0]
    assert values.row_splits.numpy().tolist() == [0]


def test_inside_tf_data(features):
    dataset = tf.data.Dataset.from_tensor_slices(TEXTS).batch(4)
    rows = list(dataset.map(features, num_parallel_calls=2))
    assert [int(ids.nrows()) for ids, _ in rows] == [4, 4, 3]
    joined = [tf.concat([row[part] for row in rows], axis=0) for part in (0, 1)]
    assert_same_rows(joined, features(tf.constant(TEXTS)))


class Scorer(keras.layers.Layer):
    """A sum of weights over the features of a text."""

    def __init__(self, features):
        super().__init__()
        self.features = features
        self.kernel = self.add_weight(shape=[features.num_features])

    def call(self, texts):
        ids, values = self.features(texts)
        weights = ids.with_values(tf.gather(self.kernel, ids.values))
        return tf.reduce_sum(weights * values, axis=1)


@pytest.mark.parametrize("is_in_layer", [False, True])
def test_inside_an_exported_model(features, is_in_layer, tmp_path):
    texts = tf.constant(TEXTS)
    module = tf.Module()
    module.inner = Scorer(features) if is_in_layer else features
    module.serve = tf.function(
        module.inner, input_signature=[tf.TensorSpec([None], tf.string)]
    )
    tf.saved_model.save(module, tmp_path)
    loaded = tf.saved_model.load(tmp_path)
    served = loaded.serve(texts)
    expected = module.inner(texts)
    if is_in_layer:
        np.testing.assert_allclose(served, expected, rtol=1e-6)
    else:
        assert_same_rows(served, expected)


def test_a_stream_yields_each_run_in_order(features):
    runs = [*RUNS, [TEXTS[0]] * 300, [TEXTS[1]], []]
    results = list(text_rows.stream(features, runs))
    assert len(results) == len(runs)
    for run, (splits, ids, values) in zip(runs, results, strict=True):
        assert (splits.dtype, ids.dtype, values.dtype) == (
            np.int64,
            np.int32,
            np.float32,
        )
        expected = features(tf.constant(run, tf.string))
        np.testing.assert_array_equal(splits, expected[0].row_splits)
        np.testing.assert_array_equal(ids, expected[0].values)
        np.testing.assert_array_equal(values, expected[1].values)


def test_a_stream_keeps_the_features_alive():
    assert len(list(text_rows.stream(text_fitting.fit(RUNS), RUNS))) == len(
        RUNS
    )


@pytest.mark.parametrize("hash_buckets", [None, 8])
def test_an_error_of_the_reader_is_left_as_it_is(hash_buckets):
    def reader():
        yield ["one text"]
        raise data_errors.DataError("train.txt", "junk", "text", 7)

    with pytest.raises(data_errors.DataError, match="train.txt:7"):
        text_fitting.fit(reader(), hash_buckets=hash_buckets)


@pytest.mark.parametrize(
    ("hash_buckets", "use_idf", "sublinear_tf", "form"),
    [
        (None, True, True, "none"),
        (None, False, False, "NFC"),
        (64, True, False, "NFKC"),
        (64, False, True, "none"),
    ],
)
def test_save_and_load(tmp_path, use_idf, hash_buckets, sublinear_tf, form):
    # Earlier features in the same folder leave nothing behind.
    earlier = text_features.TextFeatures(terms=["an", "other"], idf=[1.0, 2.0])
    earlier.save(tmp_path / "features")
    saved = text_fitting.fit(
        RUNS,
        ngrams=2,
        use_idf=use_idf,
        hash_buckets=hash_buckets,
        sublinear_tf=sublinear_tf,
        unicode_normalization=form,
    )
    saved.save(tmp_path / "features")
    loaded = text_features.load(str(tmp_path / "features"))
    assert loaded.unicode_normalization == form
    for name in ("num_features", "ngrams", "hash_buckets", "sublinear_tf"):
        assert getattr(loaded, name) == getattr(saved, name)
    np.testing.assert_array_equal(loaded.terms, saved.terms)
    np.testing.assert_array_equal(loaded.idf, saved.idf)
    texts = tf.constant([*TEXTS, "the cat sat on an other mat"])
    assert_same_rows(loaded(texts), saved(texts))
    names = {path.name for path in (tmp_path / "features").iterdir()}
    assert ("vocabulary.txt" in names) == (hash_buckets is None)
    assert ("idf.npy" in names) == use_idf


def test_a_folder_of_version_1_leaves_text_as_it_is(tmp_path):
    saved = text_fitting.fit(RUNS)
    saved.save(tmp_path)
    path = tmp_path / "text_features.json"
    settings = json.loads(path.read_bytes())
    assert settings.pop("version") == 2
    assert settings.pop("unicode_normalization") == "none"
    path.write_text(json.dumps(settings))
    loaded = text_features.load(tmp_path)
    assert loaded.unicode_normalization == "none"
    assert_same_rows(loaded(tf.constant(TEXTS)), saved(tf.constant(TEXTS)))


def cut(content):
    return content[:-1]


def flip(content):
    return content[:-2] + bytes([content[-2] ^ 1]) + content[-1:]


def add_key(content):
    return json.dumps({**json.loads(content), "stop_words": []}).encode()


def drop_key(content):
    settings = json.loads(content)
    del settings["ngrams"]
    return json.dumps(settings).encode()


def drop_form(content):
    settings = json.loads(content)
    del settings["unicode_normalization"]
    return json.dumps(settings).encode()


def raise_version(content):
    return json.dumps({**json.loads(content), "version": 3}).encode()


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        *itertools.product(
            ["vocabulary.txt", "idf.npy"],
            [None, cut, flip, lambda _: b"", lambda content: content + b"x\n"],
        ),
        *itertools.product(
            ["text_features.json"],
            [
                None,
                lambda content: content[:-3],
                lambda _: b"",
                lambda _: b"[]",
                lambda _: b"\xff\xfe",
                add_key,
                drop_key,
                drop_form,
                raise_version,
            ],
        ),
    ],
)
def test_a_damaged_folder_names_the_file(
    vocabulary_features, tmp_path, name, damage
):
    vocabulary_features.save(tmp_path)
    path = tmp_path / name
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(data_errors.DataError, match=f"{name}.*found.*needed"):
        text_features.load(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"ngrams": "2"},
        {"sublinear_tf": None},
        {"unicode_normalization": "NFD"},
    ],
)
def test_a_changed_setting_is_refused(vocabulary_features, tmp_path, change):
    vocabulary_features.save(tmp_path)
    path = tmp_path / "text_features.json"
    path.write_text(json.dumps({**json.loads(path.read_bytes()), **change}))
    with pytest.raises(ValueError, match=f"`{next(iter(change))}` must be"):
        text_features.load(tmp_path)


@pytest.mark.parametrize(
    ("texts", "arguments", "message"),
    [
        (TEXTS, {"min_df": 12}, "`min_df` must be .* 11. Received: min_df=12"),
        (TEXTS, {"min_df": 10}, "`batches` must hold .*`min_df`.*min_df=10"),
        (["", "a !"], {}, "`batches` must hold .*2 documents with 0 terms"),
        ([], {"min_df": 0.5}, "`batches` must hold .*0 documents"),
        ([], {"hash_buckets": 8}, "`batches` must hold .*0 documents"),
        (["?"], {"hash_buckets": 8}, "`batches` must hold .*1 documents"),
        (TEXTS, {"min_df": 0}, "`min_df` must be .*Received: min_df=0"),
        (TEXTS, {"min_df": 1.0}, "`min_df` must be .*Received: min_df=1.0"),
        (TEXTS, {"min_df": True}, "`min_df` must be .*Received: min_df=True"),
        (TEXTS, {"ngrams": 0}, "`ngrams` must be .*Received: ngrams=0"),
        (TEXTS, {"ngrams": (1, 2)}, r"`ngrams` must be .*ngrams=\(1, 2\)"),
        (TEXTS, {"max_features": 0}, "`max_features` .*max_features=0"),
        (TEXTS, {"hash_buckets": 0}, "`hash_buckets` .*hash_buckets=0"),
        (TEXTS, {"unicode_normalization": "nfc"}, "`unicode_norm.*='nfc'"),
        (TEXTS, {"sublinear_tf": "no"}, "`sublinear_tf` .*sublinear_tf='no'"),
        (
            TEXTS,
            {"hash_buckets": 8, "min_df": 2},
            "`min_df` and `max_features`",
        ),
        (TEXTS, {"hash_buckets": 8, "max_features": 2}, "`max_features`"),
    ],
)
def test_fit_names_the_bad_argument(texts, arguments, message):
    with pytest.raises(ValueError, match=message):
        text_fitting.fit([texts], **arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "Received: neither"),
        ({"terms": ["an"], "hash_buckets": 2}, "Received: both"),
        ({"terms": ["an"], "idf": [1.0, 2.0]}, r"shape \(1,\).*\(2,\)"),
        ({"hash_buckets": 3, "idf": np.ones([3, 1])}, r"shape \(3,\)"),
    ],
)
def test_text_features_names_the_bad_argument(arguments, message):
    with pytest.raises(ValueError, match=message):
        text_features.TextFeatures(**arguments)


@pytest.mark.parametrize("ngrams", [1, 2])
def test_real_texts(real_data, ngrams):
    with gzip.open(real_data("eurlex57k") / "dev.json.gz", "rt") as file:
        rows = [json.loads(line) for line in itertools.islice(file, 300)]
    texts = [f"{row['title']} {row['content']}" for row in rows]
    runs = [texts[start : start + 64] for start in range(0, len(texts), 64)]
    features = text_fitting.fit(runs, ngrams=ngrams, min_df=3)
    peer = sklearn_text.TfidfVectorizer(
        ngram_range=(1, ngrams), sublinear_tf=True, min_df=3
    ).fit(texts)
    assert features.num_features > 3000
    assert_equals_peer(features, peer, texts)
