"""The Keras file, `model.keras`: configuration and weights, no pickle.

<output>/model.keras        loads where tfxml is installed
<output>/label_names.json   the label names, in the order of their ids
<output>/text/              for text: the text features, see text_files.py
"""

from __future__ import annotations

import json
import pathlib

from tfxml.export.shared import text_files
from tfxml.run import restore


def write(run: restore.TrainedRun, output: str | pathlib.Path) -> pathlib.Path:
    """Writes the files into an empty folder; returns the Keras file."""
    output = pathlib.Path(output)
    path = output / "model.keras"
    run.model.save(path)
    names = run.label_names or list(map(str, range(run.facts.num_labels)))
    (output / "label_names.json").write_text(json.dumps(names))
    if run.text_features is not None:
        text_files.write(run.text_features, output / "text")
    return path
