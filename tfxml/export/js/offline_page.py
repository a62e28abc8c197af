"""One HTML file that ranks labels offline: model, runtime, tokenizer, names.

A page opened from disk may not read other files, so everything is inlined:
binary parts as base64, one script tag per shard.
"""

from __future__ import annotations

import base64
import html
import json
import pathlib

import numpy as np

from tfxml.data import own_labels
from tfxml.export.js import js_model
from tfxml.export.shared import text_files
from tfxml.pages import assets
from tfxml.run import restore, set_choices

_ASSETS = pathlib.Path(__file__).parent / "page"


def write(
    run: restore.TrainedRun,
    output: str | pathlib.Path,
    environment: js_model.Environment,
    name: str,
) -> pathlib.Path:
    """Writes `<output>/index.html` for the model in `<output>/model`."""
    output = pathlib.Path(output)
    model = json.loads((output / "model" / "model.json").read_text())
    shards = [
        (output / "model" / path).read_bytes()
        for group in model["weightsManifest"]
        for path in group["paths"]
    ]
    parts = [
        _data("settings", _settings(run, model, name)),
        _binaries("weights", shards),
        _binaries("wasm", [environment.wasm.read_bytes()]),
        _binaries("wasm-simd", [environment.wasm_simd.read_bytes()]),
        _text_parts(run),
        _script(environment.tensorflow_js.read_text()),
        _script(environment.wasm_js.read_text()),
        _script(_asset("farmhash.js")),
        _script(_asset("text.js")),
        _script(_asset("app.js")),
    ]
    page = _asset("page.html")
    for placeholder, content in {
        "TITLE": html.escape(name),
        "STYLE": assets.read("base.css"),
        "PARTS": "\n".join(parts),
    }.items():
        page = page.replace(f"<!-- {placeholder} -->", content)
    path = output / "index.html"
    path.write_text(page, encoding="utf-8")
    return path


def _settings(run: restore.TrainedRun, model: dict, name: str) -> dict:
    names = run.label_names or list(map(str, range(run.facts.num_labels)))
    groups = model.pop("weightsManifest")
    features = run.text_features
    return {
        "name": name,
        "labelNames": names,
        "abstainBelow": run.model.answering.abstain_below,
        "numCandidates": set_choices.NUM_CANDIDATES,
        "numFeatures": run.facts.num_features,
        # Of names that are looked for in texts; 0: none are.
        "ownLabelWords": own_labels.MOST_WORDS * run.config.drop_own_labels,
        "text": None if features is None else text_files.settings(features),
        "model": model,
        "weightSpecs": [spec for group in groups for spec in group["weights"]],
    }


def _text_parts(run: restore.TrainedRun) -> str:
    features = run.text_features
    parts = []
    if features is not None and features.terms is not None:
        parts.append(_data("vocabulary", list(features.terms)))
    if features is not None and features.idf is not None:
        idf = np.asarray(features.idf, "<f4").tobytes()
        parts.append(_binaries("idf", [idf]))
    return "\n".join(parts)


def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")


def _data(name: str, value) -> str:
    """Returns a script tag of JSON, with "<" escaped so that none ends it."""
    text = json.dumps(value, ensure_ascii=False).replace("<", "\\u003c")
    return f'<script type="application/json" id="{name}">{text}</script>'


def _binaries(name: str, contents: list[bytes]) -> str:
    return "\n".join(
        f'<script type="text/plain" class="{name}">'
        f"{base64.b64encode(content).decode()}</script>"
        for content in contents
    )


def _script(text: str) -> str:
    if "</script" in text.lower():
        raise ValueError("A bundle must not contain `</script`.")
    return f"<script>\n{text}\n</script>"
