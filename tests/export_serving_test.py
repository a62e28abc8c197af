"""What servers and clients read of an export, and a process without tfxml."""

import base64
import json
import os
import subprocess
import sys

import exporting
import numpy as np
import pytest
import tensorflow as tf

from tfxml.export.saved_model import serving_model


@pytest.fixture(scope="module")
def text_run():
    return exporting.text_run("mach")


@pytest.fixture(scope="module")
def text_output(text_run, tmp_path_factory):
    output = tmp_path_factory.mktemp("exported")
    serving_model.write(text_run, output, name="subjects")
    return output


@pytest.fixture(scope="module")
def features_output(tmp_path_factory):
    output = tmp_path_factory.mktemp("exported")
    run = exporting.features_run("mach")
    serving_model.write(run, output, name="subjects")
    return output


_CLEAN = """
import sys
sys.modules["tfxml"] = sys.modules["strategies"] = None  # not to be imported
from tensorflow.python.tools import saved_model_cli
sys.argv = ["saved_model_cli", *sys.argv[1:]]
saved_model_cli.main()
"""


def test_saved_model_cli_without_tfxml(text_run, text_output, tmp_path):
    """The answers of a process that knows nothing of us, from raw text."""
    folder = text_output / "1"
    texts = [text for text in exporting.texts() if "\0" not in text]
    command = [
        *(sys.executable, "-I", "-c", _CLEAN, "run"),
        *("--dir", folder, "--tag_set", "serve"),
        *("--signature_def", "serving_default"),
        *("--input_exprs", f"text={texts!r};k=4"),
        *("--outdir", tmp_path / "answers"),
    ]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    scores, ids = (
        np.load(tmp_path / "answers" / f"{name}.npy", allow_pickle=False)
        for name in ("scores", "label_ids")
    )
    wanted = exporting.text_answers(text_run, texts, 4)
    exporting.same_ranking(scores, ids, *wanted, 1e-5)
    for label in set(ids.ravel().tolist()):
        assert repr(exporting.LABEL_NAMES[label].encode()) in done.stdout


@pytest.mark.parametrize("kind", ["text", "features"])
def test_requests_and_warm_up(kind, request):
    """Bodies as TensorFlow Serving's protos read them, run as it would."""
    apis = pytest.importorskip("tensorflow_serving.apis")
    from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

    assert apis
    output = request.getfixturevalue(f"{kind}_output")
    model = tf.saved_model.load(str(output / "1"))
    warm_up = output / "1" / "assets.extra" / "tf_serving_warmup_requests"
    records = list(tf.data.TFRecordDataset(str(warm_up)).as_numpy_iterator())
    seen = set()
    for record in records:
        log = prediction_log_pb2.PredictionLog.FromString(record)
        assert log.WhichOneof("log_type") == "predict_log"
        sent = log.predict_log.request
        name = sent.model_spec.signature_name
        seen.add(name)
        assert sent.model_spec.name == "subjects"
        path = output / "requests" / f"{name}.pb"
        assert predict_pb2.PredictRequest.FromString(path.read_bytes()) == sent
        inputs = {k: tf.make_ndarray(v) for k, v in sent.inputs.items()}
        signature = model.signatures[name]
        specs = signature.structured_input_signature[1]
        assert inputs.keys() == specs.keys()
        over_grpc = _run(signature, inputs)
        body = json.loads((output / "requests" / f"{name}.json").read_text())
        assert body["signature_name"] == name
        over_rest = _run(signature, body["inputs"])
        for key, value in over_grpc.items():
            np.testing.assert_array_equal(value, over_rest[key])
    assert seen == set(model.signatures)


def _run(signature, inputs):
    """Calls a signature with arrays or with what JSON holds."""
    specs = signature.structured_input_signature[1]
    tensors = {}
    for name, value in inputs.items():
        if isinstance(value, list) and isinstance(value[0], dict):
            value = [base64.b64decode(one["b64"]) for one in value]
        tensors[name] = tf.constant(value, specs[name].dtype)
        assert specs[name].shape.is_compatible_with(tensors[name].shape)
    return {k: v.numpy() for k, v in signature(**tensors).items()}


def test_k_may_be_left_out_over_grpc(text_output):
    from tensorflow.core.protobuf import saved_model_pb2

    content = (text_output / "1" / "saved_model.pb").read_bytes()
    graph = saved_model_pb2.SavedModel.FromString(content).meta_graphs[0]
    for signature in ("serving_default", "features", "examples", "candidates"):
        default = graph.signature_def[signature].defaults["k"]
        assert tf.make_ndarray(default) == 5


def test_the_server_config_names_the_folder(text_output):
    text_format = pytest.importorskip("google.protobuf.text_format")
    config = pytest.importorskip(
        "tensorflow_serving.config.model_server_config_pb2"
    )
    parsed = text_format.Parse(
        (text_output / "models.config").read_text(), config.ModelServerConfig()
    )
    (entry,) = parsed.model_config_list.config
    assert (entry.name, entry.base_path) == ("subjects", "/models/subjects")
    guide = (text_output / "SERVING.md").read_text()
    assert "/v1/models/subjects:predict" in guide
