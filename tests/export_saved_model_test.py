"""The SavedModel's signatures against the trained model."""

import exporting
import numpy as np
import pytest
import tensorflow as tf

from tfxml.export.saved_model import serving_model


@pytest.fixture(scope="module")
def text_run():
    return exporting.text_run("mach")


@pytest.fixture(scope="module")
def text_model(text_run, tmp_path_factory):
    output = tmp_path_factory.mktemp("exported")
    return tf.saved_model.load(str(serving_model.write(text_run, output)))


@pytest.fixture(scope="module")
def features_run():
    return exporting.features_run("mach")


@pytest.fixture(scope="module")
def features_model(features_run, tmp_path_factory):
    output = tmp_path_factory.mktemp("exported")
    folder = serving_model.write(features_run, output, max_k=200)
    return tf.saved_model.load(str(folder))


def _call(model, signature, **inputs):
    found = model.signatures[signature](
        **{name: tf.constant(value) for name, value in inputs.items()}
    )
    return {name: value.numpy() for name, value in found.items()}


@pytest.mark.parametrize(
    "name", exporting.names("padded", "mach_encoders", "reranked")
)
def test_answers_are_those_of_the_trained_model(name, tmp_path):
    run = exporting.features_run(name)
    model = tf.saved_model.load(str(serving_model.write(run, tmp_path / "out")))
    ids, values = exporting.rows(run)
    found = _call(
        model, "features", feature_ids=ids, feature_values=values, k=10
    )
    wanted = exporting.answers(run, ids, values, 10)
    exporting.same_ranking(found["scores"], found["label_ids"], *wanted, 1e-5)
    names = [[n.decode() for n in row] for row in found["label_names"]]
    assert names == [
        [run.label_names[i] for i in row] for row in found["label_ids"]
    ]


@pytest.mark.parametrize(
    "name",
    ["sigmoid", pytest.param("mach_mean", marks=pytest.mark.slow)],
)
def test_answers_by_threshold_are_those_of_predict(name, tmp_path):
    run = exporting.answering_run(name)
    model = tf.saved_model.load(str(serving_model.write(run, tmp_path / "out")))
    ids, values = exporting.distinct(*exporting.rows(run))
    found = _call(
        model, "features", feature_ids=ids, feature_values=values, k=50
    )
    wanted = exporting.predicted(run, ids, values, "threshold")
    assert [] in wanted and max(map(len, wanted)) > 5
    assert exporting.answered(found) == wanted


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("sigmoid", {"hash_buckets": 97}),
        ("linear", {"use_idf": False, "sublinear_tf": False}),
        ("compact", {"ngrams": 1}),
        ("sigmoid", {"unicode_normalization": "NFKC"}),
    ],
)
def test_raw_text(name, words, tmp_path):
    run = exporting.text_run(name, **words)
    model = tf.saved_model.load(str(serving_model.write(run, tmp_path / "out")))
    texts = exporting.texts()
    found = _call(model, "serving_default", text=texts, k=3)
    wanted = exporting.text_answers(run, texts, 3)
    exporting.same_ranking(found["scores"], found["label_ids"], *wanted, 1e-5)
    assert found["label_names"][0, 0].decode() in exporting.LABEL_NAMES


@pytest.mark.parametrize("number", [0, 1, 3])
def test_any_number_of_texts(number, text_run, text_model):
    texts = exporting.texts()[-number:] if number else []
    text = tf.constant(texts, tf.string, shape=[number])
    found = text_model.signatures["serving_default"](
        text=text, k=tf.constant(2)
    )
    assert found["scores"].shape == (number, 2)
    if number:
        wanted = exporting.text_answers(text_run, texts, 2)
        np.testing.assert_array_equal(found["label_ids"], wanted[1])


@pytest.mark.parametrize(
    ("k", "width"), [(1, 1), (59, 59), (60, 60), (90, 60), ([2, 7, 3], 7)]
)
def test_k_is_an_input(k, width, features_run, features_model):
    ids, values = exporting.rows(features_run, 3)
    found = _call(
        features_model, "features", feature_ids=ids, feature_values=values, k=k
    )
    wanted = exporting.answers(features_run, ids, values, width)
    assert found["scores"].shape == (3, width)
    exporting.same_ranking(found["scores"], found["label_ids"], *wanted, 1e-5)


@pytest.mark.parametrize("k", [0, -1, 201])
def test_a_bad_k_is_refused(k, features_run, features_model):
    ids, values = exporting.rows(features_run)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"k. must be in"):
        _call(
            features_model,
            "features",
            feature_ids=ids,
            feature_values=values,
            k=k,
        )


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("feature_ids", -1, r"feature_ids. must be in \[0,"),
        ("feature_ids", 10**6, r"feature_ids. must be in \[0,"),
        ("feature_values", np.nan, "must be finite"),
        ("feature_values", np.inf, "must be finite"),
    ],
)
def test_bad_features_are_refused(
    column, value, message, features_run, features_model
):
    ids, values = exporting.rows(features_run)
    inputs = {"feature_ids": ids, "feature_values": values}
    inputs[column][1, 1] = value
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        _call(features_model, "features", **inputs, k=1)


@pytest.mark.parametrize(
    "name", exporting.names("linear", "mach_mean", "reranked")
)
def test_candidates_are_the_ranking_of_all_without_the_others(name, tmp_path):
    run = exporting.features_run(name)
    model = tf.saved_model.load(str(serving_model.write(run, tmp_path / "out")))
    ids, values = exporting.rows(run)
    scores, labels = exporting.answers(run, ids, values, 60)
    candidates = [41, 7, 7, 30, 2, 59, 8]
    found = _call(
        model,
        "candidates",
        feature_ids=ids,
        feature_values=values,
        candidates=candidates,
        k=4,
    )
    for row in range(len(ids)):
        kept = np.isin(labels[row], candidates)
        exporting.same_ranking(
            found["scores"][row][None],
            found["label_ids"][row][None],
            scores[row][kept][None, :4],
            labels[row][kept][None, :4],
            1e-5,
        )
    found = _call(
        model,
        "candidates",
        feature_ids=ids,
        feature_values=values,
        candidates=[5, 1],
        k=4,
    )
    assert found["scores"].shape == (len(ids), 2)
    with pytest.raises(tf.errors.InvalidArgumentError, match="candidates"):
        _call(
            model,
            "candidates",
            feature_ids=ids,
            feature_values=values,
            candidates=[60],
            k=1,
        )


def _example(**features):
    kinds = {
        "text": lambda v: tf.train.Feature(
            bytes_list=tf.train.BytesList(value=[v.encode()])
        ),
        "feature_ids": lambda v: tf.train.Feature(
            int64_list=tf.train.Int64List(value=v)
        ),
        "feature_values": lambda v: tf.train.Feature(
            float_list=tf.train.FloatList(value=v)
        ),
    }
    made = {name: kinds[name](value) for name, value in features.items()}
    return tf.train.Example(
        features=tf.train.Features(feature=made)
    ).SerializeToString()


def test_examples_of_features(features_run, features_model):
    ids, values = exporting.rows(features_run)
    examples = [
        _example(feature_ids=i[v != 0], feature_values=v[v != 0])
        for i, v in zip(ids, values, strict=True)
    ]
    found = _call(features_model, "examples", examples=examples, k=5)
    wanted = exporting.answers(features_run, ids, values, 5)
    exporting.same_ranking(found["scores"], found["label_ids"], *wanted, 1e-5)
    uneven = _example(feature_ids=[1, 2], feature_values=[1.0])
    with pytest.raises(tf.errors.InvalidArgumentError, match="as many"):
        _call(features_model, "examples", examples=[uneven], k=5)


def test_examples_of_text(text_run, text_model):
    texts = exporting.texts()
    examples = [_example(text=text) for text in texts]
    found = _call(text_model, "examples", examples=examples, k=5)
    wanted = exporting.text_answers(text_run, texts, 5)
    exporting.same_ranking(found["scores"], found["label_ids"], *wanted, 1e-5)


@pytest.mark.parametrize(
    ("weights", "atol", "share"),
    [
        pytest.param("bfloat16", 0.01, 0.6, marks=pytest.mark.slow),
        ("int8", 0.03, 0.4),
    ],
)
@pytest.mark.parametrize(
    "name",
    [
        "reranked",
        pytest.param("mach_encoders", marks=pytest.mark.slow),
        pytest.param("linear", marks=pytest.mark.slow),
        pytest.param("sigmoid", marks=pytest.mark.slow),
    ],
)
def test_weights_in_fewer_bits(name, weights, atol, share, tmp_path):
    run = exporting.features_run(name)
    before = {n: v.numpy() for n, v in run.model.named_variables().items()}
    ids, values = exporting.rows(run)
    wanted = exporting.answers(run, ids, values, 60)
    sizes = {}
    for kind in ("float32", weights):
        folder = serving_model.write(run, tmp_path / kind, weights=kind)
        data = folder / "variables" / "variables.data-00000-of-00001"
        sizes[kind] = data.stat().st_size
    # Ids of features that labels read take two bytes if there are many.
    ids_of = [v for v in before.values() if v.dtype == np.int32]
    wide = sum(v.nbytes for v in ids_of)
    narrow = sum(v.nbytes // (2 if v.size >= 1024 else 1) for v in ids_of)
    assert sizes[weights] - narrow < share * (sizes["float32"] - wide)
    found = _call(
        tf.saved_model.load(str(folder)),
        "features",
        feature_ids=ids,
        feature_values=values,
        k=60,
    )
    by_label = [
        np.argsort(one, axis=1) for one in (found["label_ids"], wanted[1])
    ]
    np.testing.assert_allclose(
        np.take_along_axis(found["scores"], by_label[0], axis=1),
        np.take_along_axis(wanted[0], by_label[1], axis=1),
        atol=atol,
    )
    after = run.model.named_variables()
    for key, value in before.items():  # the run itself stays as it was
        np.testing.assert_array_equal(after[key].numpy(), value)
    again = exporting.answers(run, ids, values, 60)
    np.testing.assert_array_equal(again[0], wanted[0])


def test_versions(features_run, tmp_path):
    serving_model.write(features_run, tmp_path, version=7)
    assert serving_model.write(features_run, tmp_path).name == "8"
    with pytest.raises(ValueError, match="`version` must be new"):
        serving_model.write(features_run, tmp_path, version=7)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"7", "8", "requests", "models.config", "SERVING.md"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"name": "a b"}, "`name` must be"),
        ({"max_k": 0}, "`max_k` must be"),
        ({"weights": "int4"}, "`weights` must be one of"),
    ],
)
def test_bad_arguments(words, message, features_run, tmp_path):
    with pytest.raises(ValueError, match=message):
        serving_model.write(features_run, tmp_path, **words)
