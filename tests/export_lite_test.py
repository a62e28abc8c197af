"""LiteRT files run by LiteRT, against the trained model."""

import json

import exporting
import numpy as np
import pytest
import tensorflow as tf

from tfxml.export.lite import lite_model, lite_report
from tfxml.export.shared import plain_model

pytest.importorskip("ai_edge_litert")

NUM_LABELS = exporting.NUM_LABELS


@pytest.mark.parametrize(
    "name",
    exporting.names("linear", "mach_median", "mach_mean", "reranked"),
)
def test_answers_are_those_of_the_trained_model(name, tmp_path):
    run = exporting.features_run(name)
    files = lite_model.write(run, tmp_path, max_k=60)
    ids, values = exporting.distinct(*exporting.rows(run))
    wanted = exporting.answers(run, ids, values, NUM_LABELS)
    sizes = {}
    for precision, atol in (
        ("float32", 1e-5),
        ("float16", 0.01),
        ("int8", 0.05),
    ):
        runner = lite_report.Runner(files[precision])
        sizes[precision] = files[precision].stat().st_size
        scores, labels = runner.top_k(ids, values, 10)
        assert scores.shape == (len(ids), 10)
        if precision == "float32":
            ten = (wanted[0][:, :10], wanted[1][:, :10])
            exporting.same_ranking(scores, labels, *ten, 1e-5)
        scores, labels = runner.top_k(ids, values, NUM_LABELS)
        _same_by_label(scores, labels, *wanted, atol)
        one = runner.top_k(ids[2:3], values[2:3], 1)  # another batch size
        np.testing.assert_allclose(one[0][0], scores[2, :1], atol=1e-6)
    assert sizes["int8"] < sizes["float16"] < sizes["float32"]
    assert json.loads((tmp_path / "label_names.json").read_text()) == (
        run.label_names
    )


@pytest.mark.parametrize(
    "name", ["sigmoid", pytest.param("reranked", marks=pytest.mark.slow)]
)
def test_answers_by_threshold_are_those_of_predict(name, tmp_path):
    run = exporting.answering_run(name)
    ids, values = exporting.distinct(*exporting.rows(run))
    files = lite_model.write(run, tmp_path)
    wanted = exporting.predicted(run, ids, values, "threshold")
    assert [] in wanted and max(map(len, wanted)) > 5
    found = lite_report.Runner(files["float32"]).best(ids, values, 50)
    assert exporting.answered(found) == wanted
    # Thresholds stay as they are where kernels are narrowed.
    for precision in ("float16", "int8"):
        found = lite_report.Runner(files[precision]).best(ids, values, 50)
        table = run.model.answering.table(NUM_LABELS) * 2.0**-24
        reached = found["scores"] >= table[found["label_ids"]]
        answers = found["scores"][:, :1] >= run.model.answering.abstain_below
        np.testing.assert_array_equal(found["is_answered"], reached & answers)


@pytest.mark.parametrize("name", ["sigmoid_blocks", "mach", "mach_min"])
def test_label_blocks_change_nothing(name):
    run = exporting.features_run(name)
    model = plain_model.PlainModel(run.model)
    ids, values = map(tf.constant, exporting.distinct(*exporting.rows(run)))
    whole = model.top_k(ids, values, 9)
    parts = model.top_k(ids, values, 9, label_block_size=7)
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(one, other)


def test_text_comes_with_what_makes_rows_of_it(tmp_path):
    run = exporting.text_run("mach")
    lite_model.write(run, tmp_path)
    vectors = json.loads((tmp_path / "text" / "test_vectors.json").read_text())
    runner = lite_report.Runner(tmp_path / "model_float32.tflite")
    texts = [vector["text"] for vector in vectors]
    wanted = exporting.text_answers(run, texts, 5)
    for row, vector in enumerate(vectors):
        ids = np.array([vector["feature_ids"] or [0]], np.int32)
        values = np.array([vector["feature_values"] or [0]], np.float32)
        scores, labels = runner.top_k(ids, values, 5)
        one = (wanted[0][row][None], wanted[1][row][None])
        exporting.same_ranking(scores, labels, *one, 1e-5)


def test_the_report_is_measured_on_the_evaluation_split(tmp_path):
    run = exporting.features_run("sigmoid")
    report = lite_report.table(run, lite_model.write(run, tmp_path), limit=50)
    header, *lines = report.splitlines()
    assert header.startswith("on 50 instances")
    assert [line.split()[0] for line in lines] == [
        "trained",
        "float32",
        "float16",
        "int8",
    ]
    trained, float32 = lines[0].split()[2:5], lines[1].split()[2:5]
    assert trained == float32  # P@1, P@3, P@5
    assert float(lines[1].split()[6]) < 1e-5


def _same_by_label(scores, labels, wanted_scores, wanted_labels, atol):
    by_label = (
        np.take_along_axis(s, np.argsort(i, axis=1), axis=1)
        for s, i in ((scores, labels), (wanted_scores, wanted_labels))
    )
    np.testing.assert_allclose(*by_label, atol=atol)
