"""Exports that were cut or changed on their way: none answers as if whole."""

import subprocess
import sys

import exporting
import pytest

from tfxml.export.lite import lite_model
from tfxml.export.saved_model import serving_model
from tfxml.export.shared import keras_file

pytestmark = pytest.mark.slow

_LOAD = {
    "keras": """
import keras
from tfxml.models import extreme_classifier
keras.saving.load_model(sys.argv[1])
""",
    "saved_model": """
import tensorflow as tf
tf.saved_model.load(sys.argv[1])
""",
    "tflite": """
from ai_edge_litert import interpreter
interpreter.Interpreter(sys.argv[1]).allocate_tensors()
""",
}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Returns what loads each export, and the files that it reads."""
    run = exporting.features_run("deep")
    folder = tmp_path_factory.mktemp("exports")
    for name in ("keras", "served", "lite"):
        (folder / name).mkdir()
    keras_path = keras_file.write(run, folder / "keras")
    served = serving_model.write(run, folder / "served")
    lite = lite_model.write(run, folder / "lite")["float32"]
    variables = sorted((served / "variables").iterdir())
    return {
        "keras": (keras_path, [keras_path]),
        "saved_model": (served, [served / "saved_model.pb", *variables]),
        "tflite": (lite, [lite]),
    }


@pytest.mark.parametrize("share", [0.0, 0.5, 0.95])
@pytest.mark.parametrize("kind", _LOAD)
def test_a_file_that_was_cut_is_refused(kind, share, written):
    loaded, files = written[kind]
    for path in files:
        content = path.read_bytes()
        path.write_bytes(content[: int(share * len(content))])
        done = subprocess.run(
            [sys.executable, "-c", f"import sys{_LOAD[kind]}", str(loaded)],
            capture_output=True,
            text=True,
            timeout=120,
        )
        path.write_bytes(content)
        assert done.returncode > 0, (path, done.returncode, done.stderr[-500:])
