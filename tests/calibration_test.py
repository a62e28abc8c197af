"""Calibration, thresholds and sets: from their definitions to the commands."""

import dataclasses
import json

import numpy as np
import pytest
import runs
import tensorflow as tf

from tfxml import calibrate, drop, estimator, evaluate
from tfxml import config as config_lib
from tfxml.data import data_errors, requests
from tfxml.evaluation import (
    calibrating,
    exclusions,
    label_sets,
    thresholds,
)
from tfxml.export.shared import checked_run, plain_model
from tfxml.models import calibrated_sets, calibration
from tfxml.run import (
    fitted_scores,
    numpy_predictor,
    request_predictor,
    restore,
    scored_rows,
    set_choices,
    train_and_evaluate,
)

CONFIG = config_lib.Config(
    synthetic_labels=60,
    synthetic_train=2500,
    synthetic_test=400,
    validation_fraction=0.3,
    hidden_units=(16,),
    batch_size=64,
    num_epochs=3,
    eval_epochs=3,
    learning_rate=0.02,
)


# --- from the definition ------------------------------------------------------


def _pairs(seed=0, number=20_000, slope=0.4, offset=-1.0):
    """Returns scores that are too sure, and labels of known probability."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 3, number)
    p = calibration.sigmoid(slope * logits + offset)
    return calibration.sigmoid(logits), rng.random(number) < p


def test_platt_finds_what_was_planted():
    found = calibrating.fit("platt", *_pairs())
    assert found.slope == pytest.approx(0.4, abs=0.03)
    assert found.offset == pytest.approx(-1.0, abs=0.06)


def test_temperature_finds_what_was_planted():
    found = calibrating.fit("temperature", *_pairs(offset=0.0))
    assert 1 / found.slope == pytest.approx(2.5, abs=0.15)
    assert found.offset == 0


@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_the_error_falls_on_other_rows(method):
    found = calibrating.fit(method, *_pairs())
    scores, is_true = _pairs(seed=1)
    before = calibrating.expected_error(scores, is_true)
    after = calibrating.expected_error(
        calibration.array_scores(scores, "identity", found), is_true
    )
    assert before > 15 and after < 1.5


def test_the_error_is_that_of_the_definition():
    scores = np.array([0.1, 0.2, 0.8, 0.9])
    is_true = np.array([False, True, True, True])
    wanted = (abs(0.15 - 0.5) + abs(0.85 - 1)) / 2
    found = calibrating.expected_error(scores, is_true, num_bins=2)
    assert found == pytest.approx(100 * wanted)


@pytest.mark.parametrize("method", calibration.METHODS)
@pytest.mark.parametrize("link", calibration.LINKS)
def test_graph_and_arrays_agree_and_ranks_stay(method, link):
    found = calibrating.fit(method, *_pairs())
    rng = np.random.default_rng(2)
    estimates = np.sort(rng.normal(0, 6, (5, 40)).astype(np.float32))
    if link == "identity":  # a mean estimate can be below 0
        estimates = np.linspace(-0.1, 1.1, 200, dtype=np.float32)[None]
    of_array = calibration.array_scores(estimates, link, found)
    of_graph = calibration.scores(tf.constant(estimates), link, found)
    # Between two near knots the line of isotonic regression is steep.
    np.testing.assert_allclose(of_graph, of_array, atol=2e-5)
    assert (np.diff(of_array) >= -1e-6).all()
    assert (of_array >= 0).all() and (of_array <= 1.000001).all()


@pytest.mark.parametrize(
    "words",
    [
        {"method": "other"},
        {"method": "platt", "slope": -1.0},
        {"method": "isotonic", "knots": (0.1, 0.2), "values": (0.3, 0.2)},
        {"method": "isotonic", "knots": (0.1,), "values": (0.3,)},
    ],
)
def test_a_map_that_falls_is_refused(words):
    with pytest.raises(ValueError, match="must"):
        calibration.Calibration(**words)


def test_too_few_rows_are_refused():
    with pytest.raises(ValueError, match="20 right and 20 wrong"):
        calibrating.fit("platt", np.full(50, 0.3), np.arange(50) < 3)


def _rows(seed=0, number=80, num_labels=6, k=4):
    rng = np.random.default_rng(seed)
    truth = rng.random((number, num_labels)) < np.linspace(0.1, 0.6, num_labels)
    noise = rng.normal(0, 0.3, truth.shape)
    scores = calibration.sigmoid(3 * (truth - 0.5 + noise))
    ids = np.argsort(-scores, axis=1)[:, :k]
    rows, labels = np.nonzero(truth)
    splits = label_sets.splits_of(np.bincount(rows, minlength=number))
    return (
        label_sets.Candidates(np.take_along_axis(scores, ids, 1), ids),
        label_sets.LabelSets(splits, labels),
    )


def _figures(found, candidates, truth):
    """Returns micro-F1, macro-F1, precision and number of the answers."""
    is_chosen, is_true = found.choose(candidates), candidates.is_true(truth)
    support = np.bincount(truth.ids, minlength=6)
    sizes = np.bincount(candidates.label_ids[is_chosen], minlength=6)
    hits = np.bincount(candidates.label_ids[is_chosen & is_true], minlength=6)
    return (
        2 * hits.sum() / (sizes.sum() + support.sum()),
        (2 * hits / (sizes + support)).mean(),
        hits.sum() / max(sizes.sum(), 1),
        sizes.sum(),
    )


@pytest.mark.parametrize("seed", range(4))
def test_global_thresholds_are_the_best_of_all(seed):
    candidates, truth = _rows(seed)
    every = [
        _figures(thresholds.Thresholds(limit), candidates, truth)
        for limit in [*np.unique(candidates.scores), thresholds.NEVER]
    ]
    found = thresholds.fit_global(candidates, truth, "micro_f1")
    best = _figures(found, candidates, truth)[0]
    assert best == pytest.approx(max(one[0] for one in every))
    found = thresholds.fit_global(candidates, truth, "macro_f1")
    best = _figures(found, candidates, truth)[1]
    assert best >= max(one[1] for one in every) - 0.01  # on a grid of 100
    found = thresholds.fit_global(candidates, truth, "precision", 0.9)
    _, _, precision, number = _figures(found, candidates, truth)
    assert precision >= 0.9
    assert number == max(one[3] for one in every if one[2] >= 0.9)


@pytest.mark.parametrize("seed", range(4))
def test_thresholds_of_labels_are_better_than_one(seed):
    candidates, truth = _rows(seed, number=200)
    for place, objective in enumerate(("micro_f1", "macro_f1")):
        values = [
            _figures(fit(candidates, truth, objective), candidates, truth)
            for fit in (thresholds.fit_global, thresholds.fit_per_label)
        ]
        assert values[1][place] >= values[0][place]
    found = thresholds.fit_per_label(
        candidates, truth, "precision", floor=0.95, fewest=1
    )
    is_chosen, is_true = found.choose(candidates), candidates.is_true(truth)
    for label in found.of_labels:
        here = is_chosen & (candidates.label_ids == label)
        assert not here.any() or is_true[here].mean() >= 0.95


def test_labels_with_few_rows_have_the_global_threshold():
    candidates, truth = _rows()
    support = np.bincount(truth.ids, minlength=6)
    found = thresholds.fit_per_label(
        candidates, truth, "macro_f1", fewest=int(np.median(support)) + 1
    )
    assert set(found.of_labels) == set(
        np.flatnonzero(support > np.median(support))
    )


def test_pairs_that_are_not_scored_leave_both_sides():
    scores = np.array([[0.9, 0.8, 0.7], [0.6, 0.5, 0.4]])
    label_ids = np.array([[3, 1, 2], [2, 3, 0]])
    truth = label_sets.LabelSets(np.array([0, 2, 3]), np.array([1, 3, 3]))
    members = np.array([[[True, True, False]], [[True, False, True]]])
    left_out = exclusions.Exclusions(np.array([[0, 3], [0, 9]]))
    is_left_out = label_sets.Candidates(scores, label_ids).is_true(
        label_sets.LabelSets(np.array([0, 2, 2]), left_out.pairs[:, 1])
    )
    scores, label_ids, members, _ = exclusions.without(
        *(is_left_out, scores, label_ids, [members, np.ones((2, 1))], 2)
    )
    _, ids = left_out.from_labels(truth.splits, truth.ids)
    assert label_ids.tolist() == [[1, 2], [2, 3]]
    np.testing.assert_allclose(scores, [[0.8, 0.7], [0.6, 0.5]])
    assert members.tolist() == [[[True, False]], [[True, False]]]
    assert ids.tolist() == [1, 3]


# --- in a run -----------------------------------------------------------------


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    path = tmp_path_factory.mktemp("calibrated") / "run"
    train_and_evaluate.train(CONFIG, str(path))
    return path


def _row_requests(run, number=40):
    named, _ = scored_rows.held_out(run)[0].rows(
        tf.range(number, dtype=tf.int64)
    )
    ids, values = named["feature_ids"], named["feature_values"]
    return [
        requests.Request(None, ids[i].numpy(), values[i].numpy(), i)
        for i in range(number)
    ]


def _without_tensorflow(workdir):
    """Returns what predicts the five best labels without TensorFlow."""
    return numpy_predictor.open_run(
        str(workdir), "auto", lambda _: set_choices.SetChoice(k=5), True
    )


@pytest.mark.parametrize(
    "method",
    ["isotonic", pytest.param("temperature", marks=pytest.mark.slow)],
)
def test_every_way_to_predict_has_the_calibrated_scores(workdir, method):
    found = calibrate.calibrate(str(workdir), method=method)
    assert found.report["split"] == "validation"
    assert found.report["num_rows"] == 750
    assert "decile 10" in calibrate.describe(found)
    run = checked_run.read(str(workdir))
    assert run.model.calibration == found.calibration
    rows = _row_requests(run)
    answers = [
        request_predictor.RequestPredictor(run, 5, runtime).predict(rows)
        for runtime in ("cpu", "tensorflow")
    ]
    answers.append(_without_tensorflow(workdir).predict(rows))
    loaded = estimator.load(str(workdir))
    run.model.calibration = None
    plain = request_predictor.RequestPredictor(run, 5, "cpu").predict(rows)
    run.model.calibration = found.calibration
    lite = plain_model.PlainModel(run.model)
    for number, row in enumerate(rows):
        wanted = calibration.array_scores(
            np.array(plain[number]["scores"]), "identity", found.calibration
        )
        ids, values = row.features()
        of_lite, _ = lite.top_k(ids[None], values[None], 5)
        matrix = np.zeros((1, run.facts.num_features), np.float32)
        matrix[0, ids] = values
        of_estimator = loaded.predict_proba(matrix, 5).data
        for scores in (
            *(one[number]["scores"] for one in answers),
            of_lite[0],
            np.sort(of_estimator)[::-1],
        ):
            np.testing.assert_allclose(scores, wanted, atol=5e-5)
        for one in answers:
            assert one[number]["label_ids"] == plain[number]["label_ids"]


def test_the_model_keeps_its_calibration(workdir):
    calibrate.calibrate(str(workdir), method="isotonic")
    run = restore.restore(str(workdir), tf.distribute.get_strategy())
    config = json.loads(json.dumps(run.model.get_config()["calibration"]))
    again = calibration.Calibration(
        **{k: tuple(v) if isinstance(v, list) else v for k, v in config.items()}
    )
    assert again == run.model.calibration
    # Fitted to other weights, it is not applied, and not exported.
    fitted = fitted_scores.read(workdir)
    dataclasses.replace(fitted, step=1).write(workdir)
    run = restore.restore(str(workdir), tf.distribute.get_strategy())
    assert run.model.calibration is None and run.fitted is None
    assert "calibration of step 1 is not that" in run.stale
    assert _without_tensorflow(workdir).stale == run.stale
    with pytest.raises(ValueError, match="calibration of step 1"):
        checked_run.read(str(workdir))
    fitted.write(workdir)


def test_a_run_without_some_labels_keeps_its_calibration(workdir, tmp_path):
    calibrate.calibrate(str(workdir))
    drop.drop(str(workdir), str(tmp_path / "run"), [1])
    assert fitted_scores.read(tmp_path / "run") == fitted_scores.read(workdir)
    (tmp_path / "run" / fitted_scores.NAME).unlink()
    with pytest.raises(data_errors.DataError, match="no such file"):
        fitted_scores.read(tmp_path / "run")


@pytest.mark.parametrize("split", ["test", "train"])
def test_other_rows_are_refused(workdir, split):
    with pytest.raises(ValueError, match="must be validation or dev"):
        calibrate.calibrate(str(workdir), split)


@pytest.mark.slow
def test_commands_answer_with_sets(workdir, tmp_path, capsys):
    calibrate.calibrate(str(workdir), objective="precision", floor=0.8)
    run = restore.restore(str(workdir), tf.distribute.get_strategy())
    limit = run.fitted.thresholds.default
    lines = tmp_path / "rows.jsonl"
    lines.write_text(
        "".join(
            json.dumps(
                {
                    "feature_ids": one.feature_ids.tolist(),
                    "feature_values": one.feature_values.tolist(),
                }
            )
            + "\n"
            for one in _row_requests(run)
        )
    )

    def answers(*words):
        output = runs.run(
            runs.command(
                "tfxml.predict",
                f"--workdir={workdir}",
                f"--input={lines}",
                *words,
            )
        )
        return [json.loads(line) for line in output.splitlines()]

    for one in answers("--predict=threshold", "--abstain_below=0.5"):
        assert all(score >= limit - 1e-6 for score in one["scores"])
        assert not (one.get("abstained") and one["scores"])
    output = runs.run(
        runs.command(
            "tfxml.evaluate",
            f"--workdir={workdir}",
            "--sets",
            "--predict=set",
            f"--label_figures={tmp_path / 'labels.csv'}",
        )
    )
    assert "InstanceF1" in output and "95 % interval" in output
    assert len((tmp_path / "labels.csv").read_text().splitlines()) == 61


@pytest.mark.slow
def test_an_export_answers_as_the_command(workdir, tmp_path):
    """Each label with its own threshold; rows that are unsure have none."""
    command = runs.command("tfxml.calibrate", f"--workdir={workdir}")
    said = runs.run([*command, "--per_label"])
    assert f"tfxml.predict --workdir={workdir} " in said  # what comes next
    run = restore.restore(str(workdir), tf.distribute.get_strategy())
    assert run.fitted.thresholds.of_labels
    rows = [one.features() for one in _row_requests(run)]
    lines = "".join(
        json.dumps(
            {"feature_ids": ids.tolist(), "feature_values": values.tolist()}
        )
        + "\n"
        for ids, values in rows
    )
    rule = (f"--workdir={workdir}", "--abstain_below=0.6")
    words = runs.command("tfxml.predict", *rule, "--predict=threshold")
    wanted = [
        json.loads(line)["label_names"]
        for line in runs.run(words, stdin=lines).splitlines()
    ]
    assert [] in wanted and max(map(len, wanted)) > 1
    words = ("--format=saved_model", f"--output={tmp_path / 'served'}")
    runs.run(runs.command("tfxml.export", *rule, *words))
    card = (tmp_path / "served" / "MODEL_CARD.md").read_text()
    assert "below 0.6000, none of them is" in card
    model = tf.saved_model.load(str(tmp_path / "served" / "1"))
    shape = (len(rows), max(len(ids) for ids, _ in rows))
    padded = np.zeros(shape, np.int32), np.zeros(shape, np.float32)
    for number, row in enumerate(rows):
        for array, part in zip(padded, row, strict=True):
            array[number, : len(part)] = part
    found = model.signatures["serving_default"](
        feature_ids=tf.constant(padded[0]),
        feature_values=tf.constant(padded[1]),
        k=tf.constant(set_choices.NUM_CANDIDATES),
    )
    answered = tf.ragged.boolean_mask(
        found["label_names"], found["is_answered"]
    )
    assert [[n.decode() for n in row] for row in answered.to_list()] == wanted


@pytest.mark.slow
def test_sets_of_the_best_expected_f1_have_more_of_it(workdir):
    calibrate.calibrate(str(workdir))
    values = [
        evaluate.evaluate_sets(str(workdir), choice).result()
        for choice in (
            set_choices.SetChoice("set"),
            set_choices.SetChoice("set", aim="subset"),
            set_choices.SetChoice("top_k", k=8),
        )
    ]
    f1, exact, best = values
    assert f1["InstanceF1"] > max(exact["InstanceF1"], best["InstanceF1"])
    assert exact["SubsetAccuracy"] >= f1["SubsetAccuracy"]


def test_the_estimator_calibrates_and_answers_with_sets():
    rng = np.random.default_rng(0)
    X = rng.random((300, 12)).astype(np.float32)
    Y = [[f"l{i}" for i in np.flatnonzero(row > 0.8)] for row in X]
    model = estimator.XMLClassifier(hidden_units=(), num_epochs=5)
    model.fit(X[:200], Y[:200])
    before = model.predict_proba(X[:3]).toarray()
    assert model.calibrate(X[200:], Y[200:]) is model
    assert not np.allclose(before, model.predict_proba(X[:3]).toarray())
    best = model.predict_proba(X[200:], 1).max(axis=1).toarray()[:, 0]
    least = float(np.median(best))
    for way in ("set", "threshold"):
        sets = model.predict_sets(X[200:], way)
        assert len(sets) == 100 and all(
            len(set(one)) == len(one) for one in sets
        )
        unsure = model.predict_sets(X[200:], way, abstain_below=least)
        for one, other, score in zip(sets, unsure, best, strict=True):
            assert other.tolist() == (one.tolist() if score >= least else [])


def test_sets_follow_the_calibrated_scores():
    """Exactly where labels are independent; ratios of dependence stay."""
    rng = np.random.default_rng(0)
    number, size = 4, 5
    before = rng.normal(size=(number, size)).astype(np.float32)
    after = 0.6 * before - 0.3
    every = np.indices([2] * size).reshape(size, -1).T.astype(bool)

    def log_p(logits):
        p = 1 / (1 + np.exp(-logits[:, None]))
        return np.log(np.where(every, p, 1 - p)).sum(axis=2)

    is_member = np.broadcast_to(every, (number, *every.shape))
    found, values = calibrated_sets.calibrated(
        tf.constant(is_member),
        *map(tf.constant, (log_p(before), before, after)),
    )
    order = np.argsort(-log_p(after), axis=1)
    np.testing.assert_array_equal(found, every[order])
    np.testing.assert_allclose(
        values, np.take_along_axis(log_p(after), order, 1), atol=1e-5
    )
    # Sets that come to more than 1 are scaled.
    _, values = calibrated_sets.calibrated(
        tf.constant(is_member),
        *map(tf.constant, (log_p(before) + 1, before, after)),
    )
    np.testing.assert_allclose(np.exp(values).sum(axis=1), 1, atol=1e-5)
