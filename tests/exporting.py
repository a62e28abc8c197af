"""Small trained runs to export, and the trained model's own answers."""

from __future__ import annotations

import gzip
import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from tfxml import config as config_lib
from tfxml.data import inputs, requests
from tfxml.data.text import text_fitting
from tfxml.evaluation import thresholds
from tfxml.export.shared import checked_run
from tfxml.models import calibration, reranker
from tfxml.run import (
    build,
    request_predictor,
    restore,
    set_choices,
    train_and_evaluate,
    workdir,
)
from tfxml.training.solvers import weight_places

FEATURES = config_lib.Config(
    synthetic_labels=60,
    synthetic_train=330,
    synthetic_test=90,
    hidden_units=(16,),
    batch_size=64,
    num_epochs=3,
    learning_rate=0.01,
    num_repetitions=3,
    num_buckets=20,
)
TEXT = FEATURES.replace(min_df=1, ngrams=2, eval_split="dev", num_epochs=6)
NUM_FEATURES, NUM_LABELS = 220, 60
MODELS = {
    "sigmoid": {},
    "sigmoid_blocks": {"label_block_size": 25},
    "linear": {"hidden_units": ()},
    "deep": {"hidden_units": (16, 16, 8), "residual": True},
    "compact": {"form": "compact"},
    "padded": {"form": "padded"},
    "not_normalized": {"normalize_rows": False},
    "mach": {"head": "mach"},
    "mach_mean": {"head": "mach", "estimator": "mean"},
    "mach_min": {"head": "mach", "estimator": "min"},
    "mach_median": {"head": "mach", "estimator": "median"},
    "mach_encoders": {"head": "mach", "num_encoders": 3},
    "mach_linear": {"head": "mach", "hidden_units": ()},
    "reranked": {
        "form": "compact",
        "reranker_passes": 1,
        "reranker_features": 7,
        "num_candidates": 60,
    },
}
# A name that ends a script tag, one with a line break, one beyond ASCII.
LABEL_NAMES = ["fish & </script><b>", "two\nlines", "Käse 漢字", "law", "sea"]
TOPICS = [
    "fishing quotas vessel trawler herring Baltic",
    "customs tariff import export duty wheat",
    "cheese milk dairy Käse farm 漢字 butter",
    "court ruling judge appeal statute İstanbul",
    "ocean wave harbour port tide Σίσυφος ΟΔΟΣ",
]


def names(*quick: str) -> list:
    """Returns all models to parametrize with, all but `quick` marked slow."""
    return [
        name if name in quick else pytest.param(name, marks=pytest.mark.slow)
        for name in sorted(MODELS)
    ]


def features_config(name: str, **words) -> config_lib.Config:
    return FEATURES.replace(**{**MODELS[name], **words})


def text_config(name: str, **words) -> config_lib.Config:
    return TEXT.replace(**{**MODELS[name], **words})


def features_run(name: str = "sigmoid", **words) -> restore.TrainedRun:
    """Returns a run with random weights, as if trained on features."""
    config = features_config(name, **words)
    names = [f"label {label}" for label in range(NUM_LABELS)]
    return _run(config, NUM_FEATURES, names, None)


def text_run(name: str = "sigmoid", **words) -> restore.TrainedRun:
    """Returns a run with random weights, as if trained on text."""
    config = text_config(name, **words)
    features = text_fitting.fit(
        [TOPICS],
        unicode_normalization=config.unicode_normalization,
        ngrams=config.ngrams,
        sublinear_tf=config.sublinear_tf,
        use_idf=config.use_idf,
        hash_buckets=config.hash_buckets or None,
    )
    return _run(config, features.num_features, LABEL_NAMES, features)


def _run(config, num_features, names, features) -> restore.TrainedRun:
    form = "dense" if config.form == "auto" else config.form
    facts = workdir.Facts(
        num_features, len(names), 100, form, features is not None, ""
    )
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 30, len(names))
    model = build.model(config, facts, counts)
    for variable in model.trainable_variables:
        # As wide as a trained model's scores: neither all 0 nor all 1.
        shape = variable.shape
        spread = 2 / np.sqrt(shape[-1]) if len(shape) > 1 else 0.5
        variable.assign(rng.normal(scale=spread, size=shape))
    if model.reranker is not None:
        _fill(model.reranker)
    return restore.TrainedRun(
        config=config,
        facts=facts,
        model=model,
        label_counts=counts,
        label_names=names,
        text_features=features,
        saved=None,  # it was never on a disk
        step=0,
    )


def _fill(own: reranker.Reranker) -> None:
    """Gives labels weights of their own: some none, some many."""
    rng = np.random.default_rng(1)
    number = own.num_labels * own.mean_features
    pairs = rng.choice(own.num_labels * own.num_features, number, False)
    own.assign(
        weight_places.place(
            *np.divmod(np.sort(pairs), own.num_features),
            rng.normal(scale=0.3, size=number),
            rng.normal(scale=0.3, size=own.num_labels),
            own.num_features,
            own.mean_features,
        )
    )


def real_data(name: str) -> pathlib.Path:
    """Returns the folder of a real data set, or skips the test."""
    folder = pathlib.Path(__file__).resolve().parents[2] / "shared/data" / name
    if not folder.is_dir():
        pytest.skip(f"{name} is not beside the project")
    return folder


def write_texts(folder: pathlib.Path) -> pathlib.Path:
    """Writes a folder of JSON lines: a label a topic, words of it mixed."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    for split, number in (("trn", 200), ("dev", 60)):
        with gzip.open(folder / f"{split}.json.gz", "wt") as lines:
            for _ in range(number):
                labels = sorted(rng.choice(5, rng.integers(1, 3), False))
                row = {
                    "content": text_about(labels, rng),
                    "target_ind": [int(one) for one in labels],
                }
                lines.write(json.dumps(row) + "\n")
    with gzip.open(folder / "lbl.json.gz", "wt") as lines:
        for name in LABEL_NAMES:
            lines.write(json.dumps({"title": name}) + "\n")
    return folder


def train_on_texts(base: pathlib.Path) -> pathlib.Path:
    """Trains a small linear model on `write_texts`; returns its folder."""
    data = write_texts(base / "data")
    config = config_lib.Config(
        min_df=1, eval_split="dev", hidden_units=(), num_epochs=1
    )
    train_and_evaluate.train(config, str(base / "run"), str(data))
    return base / "run"


def text_about(labels, rng) -> str:
    """Returns words of the labels' topics, in odd case and with marks."""
    words = [word for one in labels for word in TOPICS[one].split()]
    chosen = rng.choice(words, 12)
    shown = [w.upper() if rng.random() < 0.3 else w for w in chosen]
    return ", ".join(shown)


def texts(number: int = 20) -> list[str]:
    rng = np.random.default_rng(1)
    odd = ["", "!?", "unseen zzz", "TRAWLER\x00İSTANBUL ΣΊΣΥΦΟΣ e\u0301 😀"]
    return odd + [
        text_about(rng.choice(5, 2, False), rng) for _ in range(number)
    ]


def rows(run: restore.TrainedRun, number: int = 7):
    """Returns padded ids and values, unsorted, with repeats and gaps.

    The last row is empty.
    """
    rng = np.random.default_rng(2)
    shape = (number, 9)
    ids = rng.integers(0, run.facts.num_features, shape).astype(np.int32)
    values = rng.uniform(0.1, 2, shape).astype(np.float32)
    ids[0, 1] = ids[0, 3]
    values[:, 2] = 0
    values[-1] = 0
    return ids, values


def distinct(ids, values):
    """Returns the rows with every feature once."""
    ids, values = ids.copy(), values.copy()
    for row_ids, row_values in zip(ids, values, strict=True):
        _, first = np.unique(row_ids, return_index=True)
        repeated = np.setdiff1d(np.arange(len(row_ids)), first)
        row_values[repeated] = 0
    return ids, values


def answers(run: restore.TrainedRun, ids, values, k: int):
    """Returns the model's scores and label ids of padded rows, [N, K].

    Repeated features are added up in Python first.
    """
    row_ids, row_values = [], []
    for one_ids, one_values in zip(ids.tolist(), values.tolist(), strict=True):
        sums = {}
        for feature, value in zip(one_ids, one_values, strict=True):
            if value:
                sums[feature] = sums.get(feature, 0) + value
        norm = 1.0
        if run.config.normalize_rows:
            norm = np.sqrt(sum(value**2 for value in sums.values())) or 1.0
        row_ids.append(sorted(sums))
        row_values.append([sums[f] / norm for f in sorted(sums)])
    lengths = np.array([len(row) for row in row_ids], np.int64)
    return _top_k(
        run,
        _ragged(row_ids, lengths, tf.int32),
        _ragged(row_values, lengths, tf.float32),
        k,
    )


def text_answers(run: restore.TrainedRun, batch: list[str], k: int):
    """Returns the model's scores and label ids of texts, [N, K]."""
    return _top_k(run, *run.text_features(tf.constant(batch)), k)


def answering_run(name: str = "sigmoid") -> restore.TrainedRun:
    """Returns a calibrated run; half of its labels have own thresholds."""
    run = features_run(name)
    run.model.calibration = calibration.Calibration("platt", 0.7, -0.5)
    scores, _ = answers(run, *rows(run), NUM_LABELS)
    rng = np.random.default_rng(3)
    ends = np.quantile(scores, (0.3, 1))
    own = rng.choice(NUM_LABELS, NUM_LABELS // 2, replace=False).tolist()
    limits = thresholds.Thresholds(
        float(np.median(scores)) + 1e-3,
        dict(zip(own, rng.uniform(*ends, len(own)).tolist(), strict=True)),
    )
    # One row at least abstains: the empty one is the least sure.
    best = np.sort(scores[:, 0])
    run.model.answering = checked_run.answering_of(
        limits, float(best[:2].mean())
    )
    return run


def predicted(run: restore.TrainedRun, ids, values, way: str) -> list[list]:
    """Returns the label ids that `predict` answers padded rows with."""
    rule = run.model.answering
    own = dict(zip(rule.label_ids, rule.thresholds, strict=True))
    choice = set_choices.SetChoice(
        way,
        k=10,
        limits=thresholds.Thresholds(rule.threshold, own),
        abstain_below=rule.abstain_below,
    )
    batch = []
    for row_ids, row_values in zip(ids, values, strict=True):
        row_ids, row_values = (
            row_ids[row_values != 0],
            row_values[row_values != 0],
        )
        order = np.argsort(row_ids)
        batch.append(requests.Request(None, row_ids[order], row_values[order]))
    predictor = request_predictor.RequestPredictor(run, choice=choice)
    return [one["label_ids"] for one in predictor.predict(batch)]


def answered(found) -> list[list[int]]:
    """Returns the label ids that an export marks as answered."""
    return [
        np.asarray(ids)[np.asarray(is_answered, bool)].tolist()
        for ids, is_answered in zip(
            found["label_ids"], found["is_answered"], strict=True
        )
    ]


def same_ranking(scores, ids, wanted_scores, wanted_ids, atol: float) -> None:
    """Asserts equal scores, and equal labels but where scores tie."""
    scores, wanted_scores = np.asarray(scores), np.asarray(wanted_scores)
    np.testing.assert_allclose(scores, wanted_scores, atol=atol)
    different = np.asarray(ids) != np.asarray(wanted_ids)
    if different.any():  # only within groups of equal scores
        gaps = np.abs(np.diff(wanted_scores, axis=1))
        ties = np.zeros_like(different)
        ties[:, 1:] |= gaps <= atol
        ties[:, :-1] |= gaps <= atol
        ties[:, -1] = True  # the next label may tie
        assert not (different & ~ties).any()


def _ragged(rows_, lengths, dtype):
    flat = np.array(sum(rows_, []))
    return tf.RaggedTensor.from_row_lengths(tf.constant(flat, dtype), lengths)


def _top_k(run, ids, values, k):
    found = inputs.features(ids, values)
    if run.facts.form == "padded":
        found = inputs.padded(found)
    k = min(k, run.facts.num_labels)
    scores, label_ids = run.model.top_k(found, k)
    return scores.numpy(), label_ids.numpy()
