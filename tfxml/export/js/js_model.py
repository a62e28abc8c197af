"""A TensorFlow.js graph model, converted in a separate environment.

The converter (tensorflowjs 4.22) needs an older TensorFlow and protobuf than
ours, so it runs as a separate program from its own folder, which also holds
the browser bundles:

    python3 -m venv tfjs
    tfjs/bin/pip install tensorflowjs==4.22.0 'tensorflow==2.19.*' 'ydf<0.12'
    npm install --prefix tfjs @tensorflow/tfjs@4.22.0 \\
        @tensorflow/tfjs-backend-wasm@4.22.0
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import shutil
import subprocess
import tempfile

from tfxml.export.shared import portable, weight_formats
from tfxml.run import restore

# The converter's 8 bits are affine uint8.
_QUANTIZATION = {
    "float32": [],
    "float16": ["--quantize_float16=*"],
    "int8": ["--quantize_uint8=*"],
}
_MAX_WEIGHTS = 1 << 24  # WebGL indexes in float32, exact up to this number
_SHARD_BYTES = 4 * 2**20  # browsers cache up to this in one piece
_INSTALL = """
    python3 -m venv {0}
    {0}/bin/pip install tensorflowjs==4.22.0 'tensorflow==2.19.*' 'ydf<0.12'
    npm install --prefix {0} @tensorflow/tfjs@4.22.0 \\
        @tensorflow/tfjs-backend-wasm@4.22.0"""


@dataclasses.dataclass(frozen=True)
class Environment:
    """The paths of the converter and the browser bundles."""

    converter: pathlib.Path
    tensorflow_js: pathlib.Path
    wasm_js: pathlib.Path
    wasm: pathlib.Path
    wasm_simd: pathlib.Path


def check_environment(folder: str) -> Environment:
    """Returns the paths in a folder made by the commands above.

    Raises:
        ValueError: with those commands, if a file is missing.
    """
    root = pathlib.Path(folder or "tfjs").absolute()
    modules = root / "node_modules" / "@tensorflow"
    wasm = modules / "tfjs-backend-wasm" / "dist"
    environment = Environment(
        root / "bin" / "tensorflowjs_converter",
        modules / "tfjs" / "dist" / "tf.min.js",
        wasm / "tf-backend-wasm.min.js",
        wasm / "tfjs-backend-wasm.wasm",
        wasm / "tfjs-backend-wasm-simd.wasm",
    )
    missing = [
        str(path)
        for path in dataclasses.astuple(environment)
        if not path.is_file()
    ]
    if not folder or missing:
        raise ValueError(
            "`tfjs_env` must be a folder with TensorFlow.js, made by "
            f"{_INSTALL.format(folder or 'tfjs')}\n"
            f"Received: tfjs_env={folder or 'none'}"
            + (f", without {missing[0]}" if folder else "")
        )
    return environment


def write(
    run: restore.TrainedRun,
    output: str | pathlib.Path,
    environment: Environment,
    *,
    max_k: int = 100,
    weights: str = "float32",
) -> pathlib.Path:
    """Writes `<output>/model/model.json` and its shards; returns the folder.

    Raises:
        ValueError: if the converter fails, with the end of its output, or if
            the re-ranker has too many weights for a browser.
    """
    reranker = run.model.reranker
    if reranker is not None and reranker.kernel.shape[0] > _MAX_WEIGHTS:
        raise ValueError(
            "`reranker_features` must leave at most "
            f"{_MAX_WEIGHTS:,} weights, the most that a browser can index. "
            f"Received: {reranker.kernel.shape[0]:,}, from "
            f"reranker_features={run.config.reranker_features} and "
            f"{run.facts.num_labels:,} labels; export a SavedModel instead"
        )
    if weights not in weight_formats.JS:
        raise ValueError(
            f"`weights` must be one of {weight_formats.JS}. "
            f"Received: {weights=}"
        )
    model = pathlib.Path(output) / "model"
    with tempfile.TemporaryDirectory() as folder:
        portable.save(run, os.path.join(folder, "saved_model"), max_k)
        command = [
            str(environment.converter.absolute()),
            "--input_format=tf_saved_model",
            "--output_format=tfjs_graph_model",
            f"--signature_name={portable.SIGNATURE}",
            "--saved_model_tags=serve",
            f"--weight_shard_size_bytes={_SHARD_BYTES}",
            *_QUANTIZATION[weights],
            # Short names, for it splits its arguments at spaces.
            "saved_model",
            "model",
        ]
        conversion = subprocess.run(
            command,
            cwd=folder,
            capture_output=True,
            text=True,
            # Keep our packages out of the converter's imports.
            env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
        )
        converted = pathlib.Path(folder, "model")
        if conversion.returncode or not (converted / "model.json").is_file():
            raise ValueError(
                f"{environment.converter} failed:\n{conversion.stderr[-2000:]}"
            )
        shutil.copytree(converted, model)
    return model
