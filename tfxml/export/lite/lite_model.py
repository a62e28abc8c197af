"""LiteRT (TensorFlow Lite) files: float32, float16 and dynamic-range int8.

<output>/model_float32.tflite, model_float16.tflite, model_int8.tflite
<output>/label_names.json   the label names, in the order of their ids
<output>/text/              for text: the text features, see text_files.py

The files need no select TensorFlow ops. LiteRT has no kernels for TensorFlow's
string operations, so text must become rows outside the graph.
"""

from __future__ import annotations

import json
import pathlib
import tempfile

import tensorflow as tf

from tfxml.export.shared import portable, text_files
from tfxml.run import restore

PRECISIONS = ("float32", "float16", "int8")


def write(
    run: restore.TrainedRun,
    output: str | pathlib.Path,
    *,
    max_k: int = 100,
) -> dict[str, pathlib.Path]:
    """Writes the files into an empty folder; returns them by precision."""
    output = pathlib.Path(output)
    written = {}
    with tempfile.TemporaryDirectory() as saved_model:
        portable.save(run, saved_model, max_k)
        for precision in PRECISIONS:
            path = output / f"model_{precision}.tflite"
            path.write_bytes(_convert(saved_model, precision))
            written[precision] = path
    names = run.label_names or list(map(str, range(run.facts.num_labels)))
    (output / "label_names.json").write_text(json.dumps(names))
    if run.text_features is not None:
        text_files.write(run.text_features, output / "text")
    return written


def _convert(saved_model: str, precision: str) -> bytes:
    converter = tf.lite.TFLiteConverter.from_saved_model(
        saved_model, signature_keys=[portable.SIGNATURE]
    )
    if precision != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    return converter.convert()
