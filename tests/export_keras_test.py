"""`model.keras`: loads elsewhere, holds no pickle, answers the same."""

import json
import subprocess
import sys
import zipfile

import exporting
import keras
import numpy as np
import pytest

from tfxml.data import inputs
from tfxml.export.shared import keras_file


@pytest.mark.parametrize(
    "name",
    exporting.names(
        "deep", "sigmoid_blocks", "mach_encoders", "linear", "reranked"
    ),
)
def test_loaded_model_answers_the_same(name, tmp_path):
    run = exporting.features_run(name)
    path = keras_file.write(run, tmp_path)
    loaded = keras.saving.load_model(path)
    given = inputs.features(*exporting.rows(run))
    for one, other in zip(run.model(given), loaded(given), strict=True):
        np.testing.assert_array_equal(one, other)
    scores, labels = loaded.predict(given, verbose=0)
    assert scores.shape == labels.shape == (len(given["feature_ids"]), 5)


def test_answers_by_threshold_are_those_of_predict(tmp_path):
    run = exporting.answering_run()
    loaded = keras.saving.load_model(keras_file.write(run, tmp_path))
    ids, values = exporting.distinct(*exporting.rows(run))
    norms = np.linalg.norm(values, axis=1, keepdims=True)
    unit = values / np.where(norms > 0, norms, 1)  # as the model card asks
    scores, label_ids = loaded.top_k(inputs.features(ids, unit), 50)
    is_answered = loaded.is_answered(scores, label_ids)
    found = {"label_ids": label_ids, "is_answered": is_answered}
    wanted = exporting.predicted(run, ids, values, "threshold")
    assert exporting.answered(found) == wanted


_LOAD = """
import sys
import keras, numpy as np
from tfxml.models import extreme_classifier
model = keras.saving.load_model(sys.argv[1])
given = np.load(sys.argv[2])
names = "feature_ids", "feature_values"
scores, labels = model({name: given[name] for name in names})
np.savez(sys.argv[3], scores=scores, labels=labels)
"""


def test_loads_in_another_process_without_pickle(tmp_path):
    run = exporting.text_run("mach")
    path = keras_file.write(run, tmp_path)
    with zipfile.ZipFile(path) as content:
        assert set(content.namelist()) == {
            "metadata.json",
            "config.json",
            "model.weights.h5",
        }
        assert "lambda" not in content.read("config.json").decode().lower()
    given = inputs.features(*exporting.rows(run))
    np.savez(tmp_path / "in.npz", **given)
    command = [sys.executable, "-c", _LOAD, path]
    command += [tmp_path / "in.npz", tmp_path / "out.npz"]
    subprocess.run(command, check=True, timeout=120, capture_output=True)
    wanted = run.model(given)
    found = np.load(tmp_path / "out.npz")
    np.testing.assert_allclose(found["scores"], wanted[0], atol=1e-6)
    np.testing.assert_array_equal(found["labels"], wanted[1])
    names = json.loads((tmp_path / "label_names.json").read_text())
    assert names == exporting.LABEL_NAMES
    assert (tmp_path / "text" / "vocabulary.txt").is_file()


def test_a_file_that_would_run_code_is_refused(tmp_path):
    """Keras loads no function from a file unless it is told to trust it."""
    path = tmp_path / "model.keras"
    layers = [keras.Input((1,)), keras.layers.Lambda(lambda x: x + 1)]
    keras.Sequential(layers).save(path)
    with pytest.raises(ValueError, match="Lambda|lambda"):
        keras.saving.load_model(path)
