"""Labels that a trained run no longer answers: the best of the others."""

import gzip
import json

import exporting
import numpy as np
import pytest
import runs
import tensorflow as tf

from tfxml import drop, evaluate, grow
from tfxml.data import data_errors, inputs, requests
from tfxml.export.saved_model import serving_model
from tfxml.export.shared import checked_run, portable
from tfxml.mach import hashing, mach_choices
from tfxml.models.heads import mach_head, sigmoid
from tfxml.run import (
    answers,
    evaluation_split,
    request_predictor,
    restore,
    train_and_evaluate,
)

L, H, N = 900, 6, 11


def _mach_head(estimator, decode_by, dropped):
    hashes = [hashing.from_seed(3, r, 40, L * 5 // 4) for r in range(5)]
    return mach_head.MachHead(
        L,
        hashes=hashes,
        input_dim=H,
        estimator=estimator,
        decode_by=decode_by,
        dropped=dropped,
    )


HEADS = {
    "sigmoid": lambda dropped: sigmoid.SigmoidHead(
        L, H, block_size=400, dropped=dropped
    ),
    **{
        f"{estimator}-{way}": (
            lambda dropped, estimator=estimator, way=way: _mach_head(
                estimator, way, dropped
            )
        )
        for estimator in mach_choices.ESTIMATORS
        for way in ("exhaustive", "threshold")
    },
}


def _without(scores, label_ids, dropped, k):
    """Returns the first k of ranked labels that are not dropped."""
    kept = [~np.isin(row, dropped) for row in label_ids]
    return tuple(
        np.stack(
            [row[is_kept][:k] for row, is_kept in zip(one, kept, strict=True)]
        )
        for one in (np.asarray(scores), np.asarray(label_ids))
    )


@pytest.mark.parametrize("num_dropped", [1, 60, L - 3])
@pytest.mark.parametrize("name", HEADS)
def test_a_head_answers_the_best_of_the_rest(name, num_dropped):
    rng = np.random.default_rng(num_dropped)
    encoded = [tf.constant(rng.normal(size=(N, H)), tf.float32)]
    whole = HEADS[name](())
    for weight in whole.trainable_variables:
        weight.assign(rng.normal(size=weight.shape))
    best = whole.top_k(encoded, 1)[1].numpy()[:, 0]  # these in any case
    others = rng.permutation(np.setdiff1d(np.arange(L), best))
    dropped = np.concatenate([best, others])[:num_dropped]
    head = HEADS[name](dropped)
    for weight, other in zip(
        head.trainable_variables, whole.trainable_variables, strict=True
    ):
        weight.assign(other)
    ranked = [one.numpy() for one in whole.top_k(encoded, L)]
    wanted = _without(*ranked, dropped, 5)
    scores, label_ids = head.top_k(encoded, 5)
    np.testing.assert_array_equal(label_ids, wanted[1])
    np.testing.assert_allclose(scores, wanted[0], rtol=1e-6)


@pytest.mark.parametrize("dropped", [[-1], [L], range(L)])
def test_what_cannot_be_dropped_is_refused(dropped):
    for make in HEADS.values():
        with pytest.raises(ValueError, match="dropped"):
            make(dropped)


@pytest.fixture(
    scope="module",
    params=[pytest.param("sigmoid", marks=pytest.mark.slow), "mach"],
)
def trained(request, tmp_path_factory):
    """Returns a trained run, and what it is without every third label."""
    base = tmp_path_factory.mktemp("drop")
    config = exporting.FEATURES.replace(head=request.param)
    train_and_evaluate.train(config, str(base / "run"))
    names = restore.restore(
        str(base / "run"), tf.distribute.get_strategy()
    ).label_names
    (base / "names.txt").write_text("\n".join(names[::3]) + "\n")
    runs.run(
        runs.command(
            "tfxml.drop",
            f"--workdir={base / 'run'}",
            f"--names={base / 'names.txt'}",
            f"--output={base / 'less'}",
        )
    )
    return base / "run", base / "less"


def _restored(path):
    return restore.restore(str(path), tf.distribute.get_strategy())


def _requests(num_features):
    rng = np.random.default_rng(0)
    ids = np.sort(rng.choice(num_features - 8, (20, 8)), axis=1)
    ids += np.arange(8)  # ascending, each feature once
    return ids.astype(np.int32), np.ones((20, 8), np.float32)


def _wanted(path, ids, values):
    """Returns what the whole run answers, without every third label."""
    run = _restored(path)
    unit = values / np.sqrt(values.shape[1])
    rows = inputs.features(
        tf.RaggedTensor.from_tensor(ids),
        tf.RaggedTensor.from_tensor(unit.astype(np.float32)),
    )
    ranked = run.model.top_k(rows, run.facts.num_labels)
    dropped = np.arange(0, run.facts.num_labels, 3)
    return _without(ranked[0].numpy(), ranked[1].numpy(), dropped, 5)


@pytest.fixture(scope="module")
def asked(trained):
    """Returns requests, and what is to be answered to them."""
    whole, less = trained
    ids, values = _requests(_restored(less).facts.num_features)
    scores, label_ids = _wanted(whole, ids, values)
    given = {"feature_ids": tf.constant(ids), "feature_values": values}
    return {**given, "k": tf.constant(5)}, scores, label_ids


@pytest.mark.parametrize("runtime", answers.RUNTIMES)
def test_predictions_are_the_best_of_the_rest(runtime, trained, asked):
    given, scores, label_ids = asked
    run = _restored(trained[1])
    lines = [
        json.dumps({"feature_ids": i.tolist(), "feature_values": v.tolist()})
        for i, v in zip(
            given["feature_ids"].numpy(), given["feature_values"], strict=True
        )
    ]
    read = requests.read(lines, "<test>", run.facts.num_features, False)
    answers = request_predictor.RequestPredictor(run, 5, runtime).predict(
        list(read)
    )
    assert [one["label_ids"] for one in answers] == label_ids.tolist()
    found = [one["scores"] for one in answers]
    np.testing.assert_allclose(found, scores, atol=2e-6)


@pytest.fixture(scope="module")
def served(trained, tmp_path_factory):
    folder = serving_model.write(
        checked_run.read(str(trained[1])), tmp_path_factory.mktemp("served")
    )
    model = tf.saved_model.load(str(folder))
    yield model.signatures
    del model


def test_a_served_model_answers_the_best_of_the_rest(served, asked):
    given, scores, label_ids = asked
    found = served["features"](**given)
    np.testing.assert_array_equal(found["label_ids"], label_ids)
    np.testing.assert_allclose(found["scores"], scores, rtol=1e-5)


@pytest.mark.parametrize(
    ("candidates", "is_refused"), [([1, 3], True), ([1, 2], False)]
)
def test_a_served_model_refuses_dropped_candidates(
    candidates, is_refused, served, asked
):
    given = {**asked[0], "candidates": tf.constant(candidates)}
    given["k"] = tf.constant(1)
    if is_refused:
        with pytest.raises(tf.errors.InvalidArgumentError, match="dropped"):
            served["candidates"](**given)
    else:
        found = served["candidates"](**given)["label_ids"].numpy()
        assert set(found.ravel()) <= set(candidates)


def test_a_portable_model_answers_the_best_of_the_rest(
    trained, asked, tmp_path
):
    given, scores, label_ids = asked
    run = checked_run.read(str(trained[1]))
    portable.save(run, tmp_path / "plain", max_k=5)
    model = tf.saved_model.load(str(tmp_path / "plain"))
    found = model.signatures[portable.SIGNATURE](**given)
    np.testing.assert_array_equal(found["label_ids"], label_ids)
    np.testing.assert_allclose(found["scores"], scores, rtol=1e-5)


def test_metrics_are_of_the_rest(trained):
    whole, less = (_restored(path) for path in trained)
    read, _ = evaluation_split.read(whole.config, whole.facts, "", None)
    rows = tf.range(read.num_instances, dtype=tf.int64)
    found, true = read.rows(rows)
    ranked = [one.numpy() for one in whole.model.top_k(found, 60)]
    _, best = _without(*ranked, less.model.head.dropped, 1)
    pairs = zip(best[:, 0], true.to_list(), strict=True)
    precision = 100 * np.mean([label in labels for label, labels in pairs])
    found = evaluate.evaluate(str(trained[1])).result()["P@1"]
    assert found == pytest.approx(precision, abs=1e-9)


def test_drops_add_up_and_a_run_with_drops_does_not_grow(trained, tmp_path):
    _, less = trained
    more = drop.drop(str(less), str(tmp_path / "more"), [1, 3])
    wanted = sorted({1, *range(0, 60, 3)})
    assert more.read_dropped_labels().tolist() == wanted
    assert _restored(more.path).model.head.dropped.tolist() == wanted
    with pytest.raises(ValueError, match="new folder"):
        drop.drop(str(less), str(tmp_path / "more"), [1])
    if _restored(less).config.head == "mach":
        with pytest.raises(ValueError, match="21 dropped"):
            grow.grow(str(more.path), str(tmp_path / "grown"), "data")


@pytest.mark.parametrize(
    ("read", "text", "found"),
    [
        (drop.read_ids, "3\nx\n", "'x'; needed a label id"),
        (lambda p: drop.read_names(p, ["a", "b"]), "a\nc\n", "'c'"),
    ],
)
def test_a_bad_line_is_named(read, text, found, tmp_path):
    path = tmp_path / "labels.txt"
    path.write_text(text)
    with pytest.raises(data_errors.DataError, match=found) as raised:
        read(str(path))
    assert raised.value.line == 2


@pytest.mark.parametrize("ending", ["\n", "\r\n", ""])
@pytest.mark.parametrize("name", ["labels.txt", "labels.txt.gz"])
def test_names_are_read_as_data_are(name, ending, tmp_path):
    path = tmp_path / name
    content = f"\ufeffb\u2028c{ending}".encode()
    path.write_bytes(gzip.compress(content) if name[-1] == "z" else content)
    assert drop.read_names(str(path), ["a", "b\u2028c"]) == [1]


def test_names_in_another_encoding_are_named(tmp_path):
    path = tmp_path / "labels.txt"
    path.write_bytes("a\n\u00e4\n".encode("latin-1"))
    with pytest.raises(data_errors.DataError, match="txt:2: found .*UTF-8"):
        drop.read_names(str(path), ["a", "\u00e4"])


def test_names_mean_all_labels_of_that_name(tmp_path):
    path = tmp_path / "labels.txt"
    path.write_text("b\n")
    assert drop.read_names(str(path), ["a", "b", "b"]) == [1, 2]
    with pytest.raises(ValueError, match="`names`"):
        drop.read_names(str(path), None)
