"""The table of all modules: resumed, saved, exported or refused.

    python -m pytest -m slow tests/conformance_test.py -s

docs/conformance.md says what is shown. `strategy_table_test.py` has the same
rows under every strategy, and `tpu_trace_test.py`, `tpu_numerics_test.py` and
`tpu_compile_test.py` their steps as XLA and TPUs take them.
"""

import pathlib
import re
import shutil

import documents
import keras
import module_rows
import numpy as np
import padded_cases
import pytest
import runs
import tensorflow as tf
import tpu_compile_test

from tfxml import config as config_lib
from tfxml.export.lite import lite_model
from tfxml.export.saved_model import serving_model
from tfxml.export.shared import keras_file
from tfxml.models import encoders, heads
from tfxml.run import restore, text_inputs, train_and_evaluate

# Rows of other tables: the strategies', with these modules' usual forms.
ELSEWHERE = {"sigmoid", "mach", "centroid", "bag"}


def test_every_module_has_a_row():
    rows = module_rows.ROWS.values()
    found = {row.get("head") for row in rows}
    found |= {row.get("encoder") for row in rows} | ELSEWHERE
    assert found >= {*heads.HEADS, *encoders.ENCODERS}


def test_the_page_names_every_row_and_tests_that_there_are():
    page = (documents.ROOT / "docs" / "conformance.md").read_text()
    lines = [line for line in page.splitlines() if line.startswith("| `")]
    cells = [[cell.strip() for cell in one.split("|")[1:-1]] for one in lines]
    assert [one[0].strip("`") for one in cells] == [*module_rows.ROWS]
    for one in cells:
        cases, recipes = (set(re.findall("`(.*?)`", one[i])) for i in (4, 5))
        assert cases <= padded_cases.CASES.keys()
        assert recipes <= tpu_compile_test.RECIPES.keys()
    tests = pathlib.Path(__file__).parent
    names = re.findall(r"`(\w+\.py)::(test_\w+)", page)
    assert len(names) == page.count("::")
    for file, name in names:
        assert f"def {name}(" in (tests / file).read_text()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    module_rows.write_data(folder)
    return folder


def _train(name, data, path):
    options = module_rows.options(name, data)
    folder = options.pop("data_dir", "")
    train_and_evaluate.train(
        config_lib.Config(**options, keep_checkpoints=9), str(path), folder
    )


@pytest.fixture(scope="module", params=sorted(module_rows.ROWS))
def trained(request, data, tmp_path_factory):
    """Returns a row's name and its run directory."""
    path = tmp_path_factory.mktemp("run") / "whole"
    _train(request.param, data, path)
    return request.param, path


@pytest.fixture(scope="module")
def restored(trained):
    return restore.restore(str(trained[1]), tf.distribute.get_strategy())


def _rows(run):
    """Returns rows to ask for, by name, and the model's inputs of them."""
    if run.facts.is_text:
        texts = tf.constant(["word1 word2", "", "word3 word3 unseen", "word9"])
        of_texts = text_inputs.TextInputs(run.config, run.text_features)
        return {"text": texts}, of_texts(texts)
    rows = {
        "feature_ids": tf.constant([[1, 5, 7], [2, 3, 4], [0, 1, 2]]),
        "feature_values": tf.constant(
            [[0.6, 0, 0.8], [0.6, 0.8, 0], [0, 0, 0]]
        ),
    }
    return rows, rows


@pytest.mark.slow
def test_it_resumes_bit_for_bit(trained, data, tmp_path):
    name, path = trained
    cut = shutil.copytree(path, tmp_path / "cut")
    (cut / "result.json").unlink()
    steps = sorted((cut / "checkpoints").glob("step_*"))
    assert len(steps) == 5
    for folder in steps[2:]:
        shutil.rmtree(folder)
    _train(name, data, cut)
    runs.assert_near(runs.tensors(path), runs.tensors(cut))
    assert runs.without_costs(runs.entries(path)[-1]) == runs.without_costs(
        runs.entries(cut)[-1]
    )


@pytest.mark.slow
def test_it_is_served(trained, restored, tmp_path):
    rows, inputs = _rows(restored)
    model = tf.saved_model.load(
        str(serving_model.write(restored, tmp_path / "out"))
    )
    signature = "serving_default" if "text" in rows else "features"
    found = model.signatures[signature](**rows, k=tf.constant(4))
    scores, label_ids = restored.model.top_k(inputs, 4)
    np.testing.assert_allclose(found["scores"], scores, atol=1e-6)
    np.testing.assert_array_equal(found["label_ids"], label_ids)
    print(f"\n{trained[0]:20} SavedModel", end="")


@pytest.mark.slow
def test_its_keras_file_answers_the_same(restored, tmp_path):
    _, inputs = _rows(restored)
    loaded = keras.saving.load_model(keras_file.write(restored, tmp_path))
    for one, other in zip(restored.model(inputs), loaded(inputs), strict=True):
        np.testing.assert_array_equal(one, other)
    print(", Keras file", end="")


@pytest.mark.slow
def test_it_is_a_lite_file_or_refused(trained, restored, tmp_path):
    """TensorFlow.js takes what LiteRT does: both are of plain operations."""
    if trained[0] in ("accumulated", *module_rows.AVERAGED):
        assert lite_model.write(restored, tmp_path)["float32"].stat().st_size
        print(", LiteRT")
        return
    with pytest.raises(ValueError, match="export a SavedModel instead"):
        lite_model.write(restored, tmp_path)
    print(", no LiteRT: refused")
