"""The scikit-learn estimator: every kind of X and Y, names back out."""

import copy
import gc
import json
import pathlib
import pickle
import sys
import tempfile
import threading
import types

import numpy as np
import pandas as pd
import pytest
import runs
import scipy.sparse
import sklearn.base
import tensorflow as tf
from sklearn import model_selection, pipeline, preprocessing
from sklearn.feature_extraction import text as sklearn_text
from sklearn.utils import estimator_checks

import tfxml
from tfxml.data import checked_files, data_errors
from tfxml.run import console, estimator_config, fitted_run

WORDS = {"cat": "whiskers purr", "dog": "bark bone", "emu": "feather egg"}
NAMES = list(WORDS)
N = 60


def _case():
    """Returns texts of one or two labels' words, and the labels' names."""
    rng = np.random.default_rng(0)
    texts, sets = [], []
    for row in range(N):
        names = sorted(rng.permutation(NAMES)[: 1 + row % 2])
        words = " ".join(WORDS[name] for name in names).split()
        texts.append(" ".join(rng.permutation(words)))
        sets.append(names)
    return texts, sets


TEXTS, SETS = _case()
ROWS = sklearn_text.TfidfVectorizer().fit_transform(TEXTS)
INDICATOR = preprocessing.MultiLabelBinarizer().fit_transform(SETS)
IDS = [np.flatnonzero(row).tolist() for row in INDICATOR]


def _estimator(**changes):
    fields = {
        "hidden_units": (),
        "num_epochs": 8,
        "batch_size": 16,
        "learning_rate": 0.1,
        "k": 2,
        **changes,
    }
    return tfxml.XMLClassifier(**fields)


def _is_learnt(estimator, X, sets):
    """Tells whether the labels of all rows are their best, and no others."""
    best = estimator.predict(X)
    assert best.shape == (len(sets), 2)
    return all(
        set(row[: len(labels)].tolist()) == set(labels)
        for row, labels in zip(best, sets, strict=True)
    )


@pytest.fixture(scope="module")
def of_texts():
    return _estimator().fit(TEXTS, SETS)


@pytest.fixture(scope="module")
def of_rows():
    return _estimator().fit(ROWS, IDS)


# --- X and Y ------------------------------------------------------------

SIDE = {
    "feature_ids": tf.RaggedTensor.from_row_splits(
        ROWS.indices.astype(np.int32), ROWS.indptr.astype(np.int64)
    )
}
SIDE["feature_values"] = SIDE["feature_ids"].with_values(
    ROWS.data.astype(np.float32)
)
X_OF_ROWS = {
    "csr": ROWS,
    "csc": ROWS.tocsc(),
    "coo": scipy.sparse.coo_array(ROWS),
    "dense": ROWS.toarray(),
    "frame": pd.DataFrame(ROWS.toarray()),
    "tf.data": tf.data.Dataset.from_tensor_slices(SIDE).batch(7),
}
X_OF_TEXTS = {
    "list": TEXTS,
    "array": np.array(TEXTS),
    "column": pd.Series(TEXTS),
    "frame": pd.DataFrame({"text": TEXTS}),
    "tf.data": tf.data.Dataset.from_tensor_slices(TEXTS).batch(7),
}
Y_OF_IDS = {
    "lists": IDS,
    "csr": scipy.sparse.csr_matrix(INDICATOR),
    "indicator": INDICATOR,
}
Y_OF_NAMES = {
    "lists": SETS,
    "column": pd.Series(SETS),
    "frame": pd.DataFrame(INDICATOR, columns=NAMES),
}


@pytest.mark.parametrize("kind", X_OF_ROWS)
def test_rows_of_every_kind_have_the_same_labels(kind, of_rows):
    X = X_OF_ROWS[kind]
    assert _is_learnt(of_rows, X, IDS)
    np.testing.assert_array_equal(of_rows.predict(X), of_rows.predict(ROWS))


@pytest.mark.parametrize("kind", X_OF_TEXTS)
def test_texts_of_every_kind_have_the_same_labels(kind, of_texts):
    assert _is_learnt(of_texts, X_OF_TEXTS[kind], SETS)


@pytest.mark.parametrize("kind", [k for k in X_OF_ROWS if k != "tf.data"])
def test_training_on_rows_of_every_kind(kind, of_rows):
    X = X_OF_ROWS[kind]
    estimator = _estimator().fit(X, IDS)
    np.testing.assert_array_equal(
        estimator.predict_proba(X).toarray(),
        of_rows.predict_proba(ROWS).toarray(),
    )
    assert estimator.n_features_in_ == ROWS.shape[1]


def test_training_on_batches(of_rows):
    labels = tf.ragged.constant(IDS, dtype=tf.int32)
    dataset = tf.data.Dataset.from_tensor_slices((SIDE, labels)).batch(7)
    estimator = _estimator().fit(dataset)
    np.testing.assert_allclose(
        estimator.predict_proba(dataset).toarray(),
        of_rows.predict_proba(ROWS).toarray(),
        atol=1e-6,
    )


@pytest.mark.parametrize("kind", Y_OF_IDS)
def test_ids_of_every_kind(kind, of_rows):
    estimator = _estimator().fit(ROWS, Y_OF_IDS[kind])
    assert estimator.classes_.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(
        estimator.predict(ROWS), of_rows.predict(ROWS)
    )
    assert estimator.score(ROWS, Y_OF_IDS[kind]) == 1


@pytest.mark.parametrize("kind", Y_OF_NAMES)
def test_names_of_every_kind(kind):
    estimator = _estimator().fit(TEXTS, Y_OF_NAMES[kind])
    assert estimator.classes_.tolist() == NAMES
    assert _is_learnt(estimator, TEXTS, SETS)
    assert estimator.score(TEXTS, Y_OF_NAMES[kind]) == 1


@pytest.mark.parametrize("kind", [list, np.array, pd.Series])
def test_one_label_a_row(kind):
    firsts = [names[0] for names in SETS]
    estimator = _estimator().fit(TEXTS, kind(firsts))
    assert estimator.predict(["purr", "feather"]).tolist() == ["cat", "emu"]
    assert estimator.predict(["purr"], k=3).shape == (1, 3)
    proba = estimator.predict_proba(TEXTS)
    assert proba.shape == (N, 3)
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    np.testing.assert_array_equal(
        estimator.classes_[proba.argmax(axis=1)], estimator.predict(TEXTS)
    )


@pytest.mark.parametrize("head", ["mach", "centroid"])
def test_other_heads(head):
    options = {"num_repetitions": 4} if head == "mach" else None
    estimator = _estimator(head=head, options=options).fit(TEXTS, SETS)
    assert _is_learnt(estimator, TEXTS, SETS)


def test_auto_is_mach_where_labels_are_many(monkeypatch):
    monkeypatch.setattr("tfxml.run.estimator_config._MANY_LABELS", 3)
    estimator = _estimator().fit(TEXTS, SETS)
    folder = pathlib.Path(estimator._fitted().path)
    assert json.loads((folder / "config.json").read_text())["head"] == "mach"


# --- answers ------------------------------------------------------------


def test_scores_are_a_sparse_matrix(of_texts):
    proba = of_texts.predict_proba(TEXTS, k=2)
    assert isinstance(proba, scipy.sparse.csr_matrix)
    assert proba.shape == (N, 3) and proba.has_canonical_format
    dense, best = proba.toarray(), of_texts.predict(TEXTS, k=2)
    assert (np.count_nonzero(dense, axis=1) == 2).all()
    assert ((dense >= 0) & (dense <= 1)).all()
    np.testing.assert_array_equal(
        of_texts.classes_[np.argsort(-dense, axis=1)[:, :2]], best
    )


def test_score_is_the_share_of_rows_whose_best_label_is_right(of_texts):
    wrong = [[name for name in NAMES if name not in row] for row in SETS]
    assert of_texts.score(TEXTS, wrong) == 0
    weights = np.arange(N)
    half = SETS[: N // 2] + wrong[N // 2 :]
    wanted = weights[: N // 2].sum() / weights.sum()
    assert of_texts.score(TEXTS, half, weights) == pytest.approx(wanted)
    assert of_texts.score(TEXTS, [["unseen"]] * N) == 0


def test_more_labels_than_there_are(of_texts):
    assert of_texts.predict(TEXTS[:1], k=9).shape == (1, 3)
    assert of_texts.predict([], k=2).shape == (0, 2)


# --- runs ---------------------------------------------------------------


def test_a_saved_estimator_comes_back(of_texts, tmp_path):
    of_texts.save(tmp_path / "run")
    again = tfxml.load(tmp_path / "run")
    assert again.classes_.tolist() == NAMES
    np.testing.assert_array_equal(
        again.predict_proba(TEXTS).toarray(),
        of_texts.predict_proba(TEXTS).toarray(),
    )
    params = {**of_texts.get_params(), "k": 5, "random_state": 0}
    assert {**again.get_params(), "head": "auto"} == params
    with pytest.raises(ValueError, match="not be there yet"):
        of_texts.save(tmp_path / "run")


def test_labels_that_are_numbers_come_back(tmp_path):
    y = np.array([7, -2])[np.arange(N) % 2]
    _estimator().fit(ROWS, y).save(tmp_path / "run")
    again = tfxml.load(tmp_path / "run")
    assert again.classes_.tolist() == [-2, 7]
    assert again.predict(ROWS).shape == (N,)


def test_options_come_back(tmp_path):
    options = {"ngrams": 2, "metric_ks": (1, 2)}
    _estimator(options=options).fit(TEXTS, SETS).save(tmp_path / "run")
    assert tfxml.load(tmp_path / "run").options == options


def test_commands_read_an_estimators_folder(of_texts, tmp_path):
    of_texts.save(tmp_path / "run")
    done = runs.run(
        runs.command("tfxml.predict", f"--workdir={tmp_path / 'run'}", "--k=2"),
        stdin='{"text": "purr whiskers"}\n',
    )
    (line,) = done.splitlines()
    answer = json.loads(line)
    assert answer["label_names"][0] == "cat"
    proba = of_texts.predict_proba(["purr whiskers"], k=1).toarray().max()
    assert answer["scores"][0] == pytest.approx(proba, abs=1e-5)


@pytest.fixture(scope="module")
def jsonl(tmp_path_factory):
    """Returns the path of a file of texts and names."""
    path = tmp_path_factory.mktemp("data") / "train.jsonl"
    lines = [
        json.dumps({"text": text, "labels": names})
        for text, names in zip(TEXTS, SETS, strict=True)
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.slow
def test_an_estimator_reads_a_commands_folder(jsonl, tmp_path):
    words = [
        "--min_df=1",
        "--hidden_units=",
        "--num_epochs=8",
        "--batch_size=16",
        "--learning_rate=0.1",
        f"--data_dir={jsonl}",
        f"--workdir={tmp_path}",
    ]
    runs.run(runs.command("tfxml.train", *words))
    estimator = tfxml.load(tmp_path)
    assert estimator.classes_.tolist() == NAMES and estimator.num_epochs == 8
    assert _is_learnt(estimator.set_params(k=2), TEXTS, SETS)


def test_one_run_directory_for_both(jsonl, tmp_path):
    """A fit resumes what a folder holds; other data are refused."""
    first = _estimator(workdir=str(tmp_path / "run")).fit(str(jsonl))
    assert _is_learnt(first, TEXTS, SETS)
    again = _estimator(workdir=str(tmp_path / "run")).fit(str(jsonl))
    np.testing.assert_array_equal(again.predict(TEXTS), first.predict(TEXTS))
    with pytest.raises(ValueError, match="training instances"):
        _estimator(workdir=str(tmp_path / "run")).fit(TEXTS[1:], SETS[1:])


def test_temporary_folders_go_with_the_estimator():
    def folder(estimator):
        return pathlib.Path(estimator.fit(TEXTS, SETS)._fitted().path)

    estimator = _estimator(num_epochs=1)
    first = folder(estimator)
    assert first.is_dir()
    second = folder(estimator)
    gc.collect()
    assert not first.exists() and second.is_dir()
    other = folder(_estimator(num_epochs=1))
    gc.collect()
    assert not other.exists()


def test_a_failed_fit_leaves_no_folder(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(ValueError, match="learning_rate"):
        _estimator(learning_rate=-1.0).fit(TEXTS, SETS)
    with pytest.raises(ValueError, match="label"):
        _estimator().fit(TEXTS, [[]] * N)
    assert not list(tmp_path.iterdir())


def test_fit_leaves_numpys_generator_alone():
    np.random.seed(3)
    wanted = np.random.random(3)
    np.random.seed(3)
    _estimator(num_epochs=1).fit(ROWS, IDS)
    np.testing.assert_array_equal(np.random.random(3), wanted)


def test_progress_is_shown_where_someone_looks_on(capfd, monkeypatch, tmp_path):
    _estimator(num_epochs=2).fit(TEXTS, SETS)
    assert capfd.readouterr().out == ""
    monkeypatch.setattr(console, "is_watched", lambda: True)
    _estimator(num_epochs=2).fit(TEXTS, SETS)
    output = capfd.readouterr().out
    assert "epoch 2: " in output
    # No command can read a folder that goes with the estimator.
    assert tempfile.gettempdir() not in output
    for name in ("predict", "calibrate", "save"):
        assert f"{name}(" in output and callable(getattr(_estimator(), name))
    _estimator(num_epochs=1, workdir=str(tmp_path / "run")).fit(TEXTS, SETS)
    assert f"tfxml.predict --workdir={tmp_path}/run" in capfd.readouterr().out
    assert not console.is_shown(0)
    monkeypatch.undo()
    assert console.is_shown(1) and not console.is_shown("auto")
    monkeypatch.setitem(sys.modules, "ipykernel", sys)
    assert console.is_shown("auto")


def test_fits_in_a_thread():
    estimator = _estimator()
    thread = threading.Thread(target=estimator.fit, args=(TEXTS, SETS))
    thread.start()
    thread.join()
    assert _is_learnt(estimator, TEXTS, SETS)


# --- weights ------------------------------------------------------------


def test_weights_are_repeated_rows():
    """Of a batch that holds all rows: no order is involved."""
    weights = np.arange(N) % 3
    chosen = np.repeat(np.arange(N), weights)
    settings = {"batch_size": 2 * N, "num_epochs": 1}
    weighted = _estimator(**settings).fit(ROWS, IDS, sample_weight=weights)
    repeated = _estimator(**settings).fit(ROWS[chosen], INDICATOR[chosen])
    losses = [
        runs.entries(one._fitted().path)[-1]["loss"]
        for one in (weighted, repeated)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=0.05)  # of other priors


def test_rows_of_no_weight_are_not_learnt():
    y = [names[0] for names in SETS]
    swapped = ["emu" if name == "cat" else name for name in y]
    X, both = [*TEXTS, *TEXTS], [*swapped, *y]
    weights = np.repeat([0.0, 1.0], N)
    estimator = _estimator(num_epochs=40)
    estimator.fit(X, both, sample_weight=weights)
    assert (estimator.predict(TEXTS) == y).all()
    estimator.fit(X, both, sample_weight=1 - weights)
    assert (estimator.predict(TEXTS) == swapped).all()


# --- scikit-learn -------------------------------------------------------


def test_params_and_clone(of_texts):
    estimator = _estimator(options={"ngrams": 2})
    assert estimator.get_params()["options"] == {"ngrams": 2}
    estimator.set_params(num_epochs=3, head="mach")
    twin = sklearn.base.clone(estimator)
    assert twin.get_params() == estimator.get_params()
    assert not hasattr(sklearn.base.clone(of_texts), "classes_")


def test_a_pipeline_of_scikit_learn():
    steps = [
        ("words", sklearn_text.TfidfVectorizer()),
        ("labels", _estimator()),
    ]
    model = pipeline.Pipeline(steps).fit(TEXTS, SETS)
    assert model.score(TEXTS, SETS) == 1
    assert model.predict(["purr"])[0, 0] == "cat"


def test_grid_search():
    search = model_selection.GridSearchCV(
        _estimator(),
        {"learning_rate": [1e-6, 0.1]},
        cv=model_selection.KFold(2),
        error_score="raise",
    ).fit(TEXTS, SETS)
    assert search.best_params_ == {"learning_rate": 0.1}
    assert search.best_estimator_.score(TEXTS, SETS) == 1


@pytest.mark.parametrize("again", [copy.deepcopy, None])
def test_copies_are_independent(of_texts, again):
    again = again or (lambda one: pickle.loads(pickle.dumps(one)))  # noqa: S301
    twin = again(of_texts)
    np.testing.assert_array_equal(twin.predict(TEXTS), of_texts.predict(TEXTS))
    assert twin._fitted().path != of_texts._fitted().path


NOT_OF_SETS = "of sets, `predict` returns the k best labels, no indicator"
NOT_BY_COPIES = (
    "an epoch's order is of rows, so copies of a row fall into other batches"
)
EXPECTED = {
    "check_sample_weight_equivalence_on_dense_data": NOT_BY_COPIES,
    "check_sample_weight_equivalence_on_sparse_data": NOT_BY_COPIES,
    "check_classifier_multioutput": (
        "of sets, `predict_proba` is sparse: [N, L] is too large"
    ),
    "check_classifiers_multilabel_representation_invariance": NOT_OF_SETS,
    "check_classifiers_multilabel_output_format_predict": NOT_OF_SETS,
    "check_classifiers_multilabel_output_format_predict_proba": (
        "of sets, `predict_proba` is sparse: [N, L] is too large"
    ),
}


@pytest.mark.slow
@estimator_checks.parametrize_with_checks(
    [
        tfxml.XMLClassifier(
            hidden_units=(32,),
            num_epochs=30,
            batch_size=32,
            learning_rate=0.02,
            dropout=0.0,
        )
    ],
    expected_failed_checks=lambda _: EXPECTED,
)
def test_checks_of_scikit_learn(estimator, check):
    check(estimator)


# --- recipes --------------------------------------------------------------


def test_an_estimator_asks_for_what_no_parameter_gives():
    def request(**params):
        model = tfxml.XMLClassifier(**params)
        config = estimator_config.config_of(model.get_params(deep=False), 10)
        return model._request(config)

    assert request() is not None
    assert request(options={"min_df": 2}, k=3).given == {"min_df", "seed"}
    assert request(num_epochs=3) is None
    assert request(options={"reranker_passes": 4}) is None
    assert request(head="mach") is None


@pytest.mark.slow
def test_an_estimator_finds_its_recipe():
    rng = np.random.default_rng(1)
    sets = [rng.choice(6, 2, replace=False).tolist() for _ in range(240)]
    texts = [" ".join(f"w{i}" for i in labels) + " the" for labels in sets]
    model = tfxml.XMLClassifier().fit(texts, sets)
    assert model.metrics_["P@1"] > 95
    assert model._fitted().run.config.batch_size == 128
    assert tfxml.load(model._fitted().path).head in ("sigmoid", "centroid")


# --- refusals -----------------------------------------------------------


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (TEXTS, None, "`y` must be given"),
        (TEXTS, SETS[1:], "as many rows. Received: 60 and 59"),
        ("folder", SETS, "`y` and `sample_weight` must be None"),
        (TEXTS[:2], SETS[:2], "at least 3 rows. Received: 2 samples"),
        (np.zeros((3, 0)), SETS[:3], "minimum of 1 is required"),
    ],
)
def test_bad_arguments(X, y, message):
    with pytest.raises(ValueError, match=message):
        _estimator().fit(X, y)


def test_rows_of_another_kind_are_refused(of_rows, of_texts):
    with pytest.raises(ValueError, match="must hold numbers, as in training"):
        of_rows.predict(TEXTS)
    with pytest.raises(ValueError, match="must hold texts, as in training"):
        of_texts.predict(ROWS)
    with pytest.raises(ValueError, match="X has 2 features, but XMLClassifier"):
        of_rows.predict(ROWS[:, :2])
    with pytest.raises(ValueError, match="`k` must be at least 1"):
        of_rows.predict(ROWS, k=-1)
    with pytest.raises(ValueError, match="not fitted yet"):
        _estimator().predict(ROWS)


def test_damaged_labels_of_a_run_are_named(tmp_path):
    data = types.SimpleNamespace(labels=[3, np.int64(7)], is_single=True)
    checked_files.write_sealed(tmp_path / "manifest.json", {"files": {}})
    # Of a run that no estimator trained.
    assert fitted_run.read_labels(str(tmp_path)) == (None, False)
    fitted_run.write_labels(str(tmp_path), data)
    assert fitted_run.read_labels(str(tmp_path)) == ([3, 7], True)
    path = tmp_path / "estimator.json"
    path.write_text(path.read_text().replace("7", "8", 1))
    with pytest.raises(data_errors.DataError, match="estimator.json: found"):
        fitted_run.read_labels(str(tmp_path))
    path.unlink()
    with pytest.raises(data_errors.DataError, match="estimator.json: found no"):
        fitted_run.read_labels(str(tmp_path))
