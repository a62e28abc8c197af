"""A versioned SavedModel for TensorFlow Serving, and its companion files.

<output>/<version>/        the model; warm-up requests in assets.extra
<output>/requests/         a request for each signature, for REST and for gRPC
<output>/models.config     the configuration of the model server
<output>/SERVING.md        how to serve the model
"""

from __future__ import annotations

import pathlib
import re
import shutil
from typing import Any

import numpy as np
import tensorflow as tf

from tfxml.data.text import text_features
from tfxml.export.saved_model import serving_requests, signatures
from tfxml.export.shared import narrow_weights
from tfxml.run import restore

_CONFIG = """model_config_list {{
  config {{
    name: "{name}"
    base_path: "/models/{name}"
    model_platform: "tensorflow"
    model_version_policy {{ latest {{ num_versions: 1 }} }}
  }}
}}
"""

_GUIDE = """# Serving `{name}`

```sh
docker run --rm -p 8500:8500 -p 8501:8501 \\
    -v "$PWD:/models/{name}:ro" tensorflow/serving \\
    --model_config_file=/models/{name}/models.config \\
    --model_config_file_poll_wait_seconds=60
curl -d @requests/serving_default.json \\
    http://localhost:8501/v1/models/{name}:predict
```

To deploy a new version, export it to a new numbered folder next to
`{version}`: the server warms it up, loads it and unloads the old one.

Signatures: {signatures}. `requests/` holds a request for each: `.json` is the
body for REST, `.pb` a serialized `PredictRequest` for gRPC
(`PredictionService.Predict`, port 8500).

Each answers with `label_names`, `label_ids` and `scores`, best first, and with
`is_answered`, which tells the labels that reach their thresholds: ask for a `k`
of 50, and keep those. An instance of which none is, has none of the labels.

`k` is at most {max_k}: one number, or one per instance, of which the largest
counts. gRPC requests may omit it (default {default_k}); REST requires every
input. In row format (`"instances"`) each row has its own `k`.

To run the model without a server: `saved_model_cli run --dir {version}
--tag_set serve --signature_def serving_default {cli}`.
"""


def write(
    run: restore.TrainedRun,
    output: str | pathlib.Path,
    *,
    name: str = "tfxml",
    version: int = 0,
    max_k: int = 100,
    weights: str = "float32",
) -> pathlib.Path:
    """Writes a version; returns its folder.

    Args:
        run: what `checked_run.read` returns.
        output: the folder of all versions.
        name: under which the model is served.
        version: a number; 0: one above the highest that exists.
        max_k: the largest `k` of a request.
        weights: how to store kernels: `float32`, `bfloat16` or `int8`.

    Raises:
        ValueError: if the version exists, or `name` is invalid.
    """
    if not re.fullmatch(r"[\w.-]+", name):
        raise ValueError(
            "`name` must be made of letters, digits, '_', '.' and '-'. "
            f"Received: {name=}"
        )
    output = pathlib.Path(output)
    version = version or next_version(output)
    check_version(output, version)
    folder = output / str(version)
    output.mkdir(parents=True, exist_ok=True)
    # Servers watch the folder, so a version must appear only when complete.
    unfinished = output / f"writing_{folder.name}"
    if unfinished.exists():
        shutil.rmtree(unfinished)
    with narrow_weights.kernels(run.model, weights) as variables:
        model = signatures.ServedModel(run, variables, max_k)
        functions = model.functions()
        # Served models are not trained, so gradients can be left out.
        options = tf.saved_model.SaveOptions(
            experimental_custom_gradients=False
        )
        tf.saved_model.save(model, unfinished, functions, options)
    inputs = example_inputs(run, functions)
    _write_warm_up(unfinished, name, inputs)
    _write_requests(output / "requests", name, inputs)
    (output / "models.config").write_text(_CONFIG.format(name=name))
    (output / "SERVING.md").write_text(
        _guide(name, folder.name, inputs, max_k, run.text_features is not None)
    )
    unfinished.rename(folder)
    return folder


def example_inputs(
    run: restore.TrainedRun, functions: dict[str, Any]
) -> dict[str, dict]:
    """Returns the inputs of a small request for each signature."""
    ids = np.arange(min(3, run.facts.num_features), dtype=np.int32)[None]
    values: dict[str, Any] = {
        "feature_ids": ids,
        "feature_values": np.ones(ids.shape, np.float32),
        "candidates": np.arange(min(3, run.facts.num_labels), dtype=np.int32),
        "k": np.int32(min(signatures.DEFAULT_K, run.facts.num_labels)),
    }
    if run.text_features is not None:
        text = _example_text(run.text_features, run.label_names)
        values["text"] = [text]
        bytes_list = tf.train.BytesList(value=[text.encode()])
        features = {"text": tf.train.Feature(bytes_list=bytes_list)}
    else:
        int64_list = tf.train.Int64List(value=ids[0])
        float_list = tf.train.FloatList(value=[1.0] * ids.size)
        features = {
            "feature_ids": tf.train.Feature(int64_list=int64_list),
            "feature_values": tf.train.Feature(float_list=float_list),
        }
    example = tf.train.Example(features=tf.train.Features(feature=features))
    values["examples"] = np.array([example.SerializeToString()], object)
    return {
        name: {
            spec.name: values[spec.name] for spec in function.input_signature
        }
        for name, function in functions.items()
    }


def _example_text(
    features: text_features.TextFeatures, label_names: list[str] | None
) -> str:
    """Returns words of the vocabulary or, if hashed, the first label name."""
    terms = features.terms
    if terms is not None:
        return " ".join(terms[len(terms) // 2 :][:8])
    return label_names[0] if label_names else "one text"


def check_output(output: str | pathlib.Path) -> None:
    """Raises ValueError for a path that TensorFlow cannot load from."""
    if re.search(r"[][*?\\]", str(pathlib.Path(output).absolute())):
        raise ValueError(
            "`output` must be a path without any of [ ] * ? \\: TensorFlow "
            "reads them as a pattern when it loads a SavedModel. "
            f"Received: output={str(output)!r}"
        )


def check_version(output: str | pathlib.Path, version: int) -> None:
    """Raises ValueError if a version exists."""
    folder = pathlib.Path(output) / str(version)
    if folder.exists():
        raise ValueError(
            f"`version` must be new. Received: {version=}, but {folder} exists"
        )


def next_version(output: str | pathlib.Path) -> int:
    """Returns one above the highest version that exists; else 1."""
    output = pathlib.Path(output)
    if not output.is_dir():
        return 1
    numbers = [int(p.name) for p in output.iterdir() if p.name.isdigit()]
    return max(numbers, default=0) + 1


def _write_warm_up(folder: pathlib.Path, name: str, inputs: dict) -> None:
    extra = folder / "assets.extra"
    extra.mkdir()
    path = str(extra / "tf_serving_warmup_requests")
    with tf.io.TFRecordWriter(path) as records:
        for signature, values in inputs.items():
            request = serving_requests.grpc(name, signature, values)
            records.write(serving_requests.warm_up_record(request))


def _write_requests(folder: pathlib.Path, name: str, inputs: dict) -> None:
    folder.mkdir(exist_ok=True)
    for signature, values in inputs.items():
        body = serving_requests.rest(signature, values)
        (folder / f"{signature}.json").write_text(body + "\n")
        request = serving_requests.grpc(name, signature, values)
        (folder / f"{signature}.pb").write_bytes(request)


def _guide(
    name: str, version: str, inputs: dict, max_k: int, is_text: bool
) -> str:
    columns = {
        signature: ", ".join(f"`{column}`" for column in values)
        for signature, values in inputs.items()
    }
    if is_text:
        cli = "--input_exprs 'text=[\"one text\"];k=5'"
    else:
        cli = "--input_exprs 'feature_ids=[[1]];feature_values=[[1.0]];k=5'"
    return _GUIDE.format(
        name=name,
        version=version,
        signatures="; ".join(f"`{s}` ({c})" for s, c in columns.items()),
        max_k=max_k,
        default_k=min(signatures.DEFAULT_K, max_k),
        cli=cli,
    )
