"""Exports a trained run: `python -m tfxml.export --workdir=... --format=...`.

`--format` says for what: `saved_model` for TensorFlow Serving, `tflite` for
phones, `tfjs` for browsers, `keras` for Python, each with a model card.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from absl import flags as absl_flags

from tfxml.export.shared import weight_formats
from tfxml.run import (
    checkpoint_flags,
    early_checks,
    flags,
    paths,
    remote,
    set_choices,
    tensorflow_start,
)

if TYPE_CHECKING:
    from tfxml.run import restore

FORMATS = ("saved_model", "tflite", "tfjs", "keras")
# The weight formats that each export format supports; the first is the default.
_WEIGHTS = {
    "saved_model": weight_formats.SAVED_MODEL,
    "tfjs": weight_formats.JS,
    "tflite": ("float32",),  # it always writes float32, float16 and int8
    "keras": ("float32",),
}


def main() -> None:
    values = absl_flags.FLAGS
    output = paths.local(values.output, "output")
    allowed = _WEIGHTS[values.format]
    if values.weights not in allowed:
        raise ValueError(
            f"`weights` must be one of {allowed} for format={values.format}. "
            f"Received: weights={values.weights}"
        )
    early_checks.check_run(values.workdir)
    tensorflow_start.quietly()
    from tfxml.export.js import js_model
    from tfxml.export.saved_model import serving_model
    from tfxml.export.shared import checked_run, export_folder, model_card

    write = {
        "saved_model": _write_saved_model,
        "tflite": _write_lite,
        "tfjs": _write_js,
        "keras": _write_keras,
    }[values.format]
    # Checked before the slow part, reading the run.
    if values.format == "tfjs":
        js_model.check_environment(paths.local(values.tfjs_env, "tfjs_env"))
    is_served = values.format == "saved_model"
    if is_served:
        serving_model.check_output(output)
    else:
        checked_run.check_output(output)
    run = checked_run.read(values.workdir, values.checkpoint)
    run.model.answering = checked_run.answering_of(
        set_choices.limits_from_flags(
            run.fitted.thresholds if run.fitted else None
        ),
        values.abstain_below,
    )
    metrics = checked_run.metrics(values.workdir, run.step)
    with export_folder.new(output, is_growing=is_served) as folder:
        use = write(run, values, folder)
        model_card.write(run, metrics, folder, values.name, use)
    remote.publish(output)
    print(f"written   {values.output}")


def _write_saved_model(run: restore.TrainedRun, values, output) -> str:
    from tfxml.export.saved_model import serving_model

    served = paths.local(values.output, "output")
    version = values.version or serving_model.next_version(served)
    serving_model.check_version(served, version)
    folder = serving_model.write(
        run,
        output,
        name=values.name,
        version=version,
        max_k=values.max_k,
        weights=values.weights,
    )
    print(f"version   {folder.name}, weights {values.weights}")
    return (
        f"A SavedModel for TensorFlow Serving, weights {values.weights}: see "
        "`SERVING.md`."
    )


def _write_lite(run: restore.TrainedRun, values, output) -> str:
    from tfxml.export.lite import lite_model, lite_report

    files = lite_model.write(run, output, max_k=values.max_k)
    for name, path in files.items():
        print(f"{name:<9} {path.stat().st_size / 1e6:.2f} MB")
    try:
        report = lite_report.table(run, files)
    except ValueError as error:
        report = f"Accuracy not measured: {error}"
    print(report)
    text = " `text/TOKENIZER.md` defines how text becomes features."
    return (
        "LiteRT files; inputs `feature_ids`, `feature_values` and `k`, outputs "
        "`label_ids` (indices into `label_names.json`), `scores` and "
        "`is_answered`."
        f"{text * run.facts.is_text}\n\n```\n{report}\n```"
    )


def _write_js(run: restore.TrainedRun, values, output) -> str:
    from tfxml.export.js import js_model, offline_page

    environment = js_model.check_environment(
        paths.local(values.tfjs_env, "tfjs_env")
    )
    model = js_model.write(
        run, output, environment, max_k=values.max_k, weights=values.weights
    )
    html = offline_page.write(run, output, environment, values.name)
    print(f"page      {html.name}, {html.stat().st_size / 1e6:.1f} MB")
    return (
        f"`{model.name}/` is a TensorFlow.js graph model, weights "
        f"{values.weights}; `{html.name}` contains everything and runs offline "
        "in a browser."
    )


def _write_keras(run: restore.TrainedRun, values, output) -> str:
    from tfxml.export.shared import keras_file

    path = keras_file.write(run, output)
    print(f"model     {path.name}, {path.stat().st_size / 1e6:.1f} MB")
    unit = ", and rows are L2-normalised" if run.config.normalize_rows else ""
    return (
        "```python\nimport keras\n"
        "from tfxml.models import extreme_classifier\n\n"
        'model = keras.saving.load_model("model.keras")\n'
        "inputs = {"
        '"feature_ids": feature_ids, "feature_values": feature_values}\n'
        "scores, label_ids = model(inputs)  # top 5\n"
        "is_answered = model.is_answered(scores, label_ids)\n"
        f"```\n\nRows are padded, [N, M]; unused entries have value 0{unit}."
    )


def define_flags() -> None:
    checkpoint_flags.define_flags()
    absl_flags.DEFINE_enum("format", None, FORMATS, "What to export.")
    paths.define("output", None, "The folder to write.")
    absl_flags.mark_flags_as_required(["format", "output"])
    absl_flags.DEFINE_string(
        "name",
        "tfxml",
        "The model's name: in the model card, and for TensorFlow Serving.",
    )
    set_choices.define_limit_flags()
    absl_flags.DEFINE_integer(
        "max_k", 100, "The largest k a request may ask for.", lower_bound=1
    )
    absl_flags.DEFINE_string(
        "weights",
        "float32",
        "How to store kernels: float32, bfloat16 or int8 for saved_model; "
        "float32, float16 or int8 for tfjs. tflite writes all of its three.",
    )
    absl_flags.DEFINE_integer(
        "version",
        0,
        "saved_model: the version number. 0: one above the highest in "
        "--output.",
        lower_bound=0,
    )
    paths.define(
        "tfjs_env",
        "",
        "tfjs: the folder with the TensorFlow.js converter and bundles.",
    )


def run() -> None:
    flags.run(main, define_flags)


if __name__ == "__main__":
    run()
