"""Which features speak for a label: planted weights, every kind of model."""

import dataclasses
import json

import exporting
import numpy as np
import pytest
import runs
import tensorflow as tf

from tfxml import config as config_lib
from tfxml.data import requests
from tfxml.models import row_forms
from tfxml.run import explanations, request_predictor, train_and_evaluate

IDS = np.array([3, 5, 11, 40], np.int32)
VALUES = np.array([0.5, -0.25, 0.8, 0.1], np.float32)
LABELS = np.array([7, 2, 30])


def _planted(name, **words):
    """Returns a run whose linear weights are random, and those weights."""
    run = exporting.features_run(name, hidden_units=(), **words)
    kernel = np.concatenate(
        [block.kernel for block in run.model.head.form().blocks], axis=1
    )
    return run, kernel  # [D, B]


def test_linear_contributions_are_weights_times_values():
    run, kernel = _planted("sigmoid")
    found = explanations.Explainer(run).contributions(IDS, VALUES, LABELS)
    np.testing.assert_allclose(
        found, kernel[IDS][:, LABELS].T * VALUES, rtol=1e-5
    )


def test_the_reranker_and_the_head_share_by_weight():
    run, kernel = _planted("reranked", num_candidates=60, reranker_weight=0.25)
    reranker = run.model.reranker
    at_zero = reranker.margins(_row([]), LABELS[None]).numpy()
    margins = np.stack(
        [
            reranker.margins(_row([i]), LABELS[None]).numpy()[0] - at_zero[0]
            for i in IDS
        ],
        axis=1,
    )  # [K, E]: of value 1
    wanted = VALUES * (0.25 * 5 * margins + 0.75 * kernel[IDS][:, LABELS].T)
    found = explanations.Explainer(run).contributions(IDS, VALUES, LABELS)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)


def _row(ids):

    return row_forms.RaggedRows(
        tf.constant(ids, tf.int32),
        tf.ones(len(ids)),
        tf.constant([0, len(ids)], tf.int64),
    )


@pytest.mark.parametrize("name", exporting.names("mach"))
def test_contributions_are_slopes_of_what_ranks(name):
    """By central differences."""
    run = exporting.features_run(name)
    explainer = explanations.Explainer(run)
    found = explainer.contributions(IDS, VALUES, LABELS)

    def estimates_of(values):
        rows = tf.RaggedTensor.from_row_splits(IDS, [0, len(IDS)])
        named = {
            "feature_ids": rows,
            "feature_values": rows.with_flat_values(values),
        }
        if run.facts.form == "padded":
            named = {key: one.to_tensor() for key, one in named.items()}
        estimates = run.model.label_estimates(named, np.sort(LABELS))
        estimates = estimates.numpy()[0].astype(np.float64)
        return estimates[np.argsort(np.argsort(LABELS))]

    step = 0.004
    wanted = [
        (
            estimates_of(VALUES + step * unit)
            - estimates_of(VALUES - step * unit)
        )
        / (2 * step)
        for unit in np.eye(len(IDS), dtype=np.float32)
    ]
    np.testing.assert_allclose(
        found, np.transpose(wanted) * VALUES, rtol=0.05, atol=4e-3
    )


def test_answers_tell_terms():
    run = exporting.text_run("sigmoid", hidden_units=())
    predictor = request_predictor.RequestPredictor(run, 5)
    text = exporting.TOPICS[0]
    ids, values = (
        rows.flat_values.numpy() for rows in run.text_features([text])
    )
    kernel = run.model.head.form().blocks[0].kernel.numpy()
    batch = [requests.Request(one, None, None) for one in (text, "", text)]
    first, empty, _ = predictor.predict(batch, k=2, explain=3)
    assert len(first["label_ids"]) == 2
    for label, told in zip(
        first["label_ids"], first["explanations"], strict=True
    ):
        shares = kernel[ids, label] * values
        best = np.argsort(-np.abs(shares))[:3]
        terms = run.text_features.terms
        assert told["features"] == [terms[i] for i in ids[best]]
        np.testing.assert_allclose(
            told["contributions"], shares[best], atol=1e-5
        )
    nothing = {"features": [], "contributions": []}
    assert empty["explanations"] == [nothing] * 2


def test_words_in_their_order_are_not_explained():
    run = exporting.text_run("sigmoid")
    config = run.config.replace(encoder="conv")
    run = dataclasses.replace(run, config=config)
    with pytest.raises(ValueError, match="`explain` must be 0.*encoder=conv"):
        explanations.Explainer(run)


@pytest.mark.slow
@pytest.mark.parametrize("head", ["centroid", "mach"])
def test_the_command(head, tmp_path):
    data = exporting.write_texts(tmp_path / "data")
    config = config_lib.Config(
        head=head,
        min_df=1,
        eval_split="dev",
        hidden_units=() if head == "centroid" else (16,),
        num_epochs=20,
        learning_rate=0.02,
        batch_size=32,
    )
    train_and_evaluate.train(config, str(tmp_path / "run"), str(data))
    words = runs.command(
        "tfxml.predict", f"--workdir={tmp_path / 'run'}", "--explain=2"
    )
    answer = json.loads(runs.run(words, json.dumps({"text": "cheese milk"})))
    assert len(answer["explanations"]) == len(answer["label_ids"]) == 5
    for told in answer["explanations"]:
        assert set(told["features"]) <= {"cheese", "milk"}
    best = answer["explanations"][0]
    assert set(best["features"]) == {"cheese", "milk"}
    assert sum(best["contributions"]) > 0
