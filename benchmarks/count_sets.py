"""Word counts of a set of texts, as sparse matrices without weights.

    python benchmarks/count_sets.py --texts=../shared/data/wdk-seealso \\
        --counts=counts/wdk-seealso

`--texts` is a folder of JSON lines, packed or not (`trn`, then `tst` or `dev`).
Counted are words of at least two training texts, as scikit-learn's
`CountVectorizer` finds them, of the first `--most` training texts.
"""

from __future__ import annotations

import pathlib

import numpy as np
import scipy.sparse
from absl import app, flags
from sklearn.feature_extraction import text

from tfxml import config as config_lib
from tfxml.data import instances
from tfxml.data.formats import folder

_TEXTS = flags.DEFINE_string("texts", "", "The folder of the texts.")
_COUNTS = flags.DEFINE_string("counts", "", "The folder of the counts.")
_MOST = flags.DEFINE_integer("most", 0, "Training texts; 0: all.")


def main(_) -> None:
    if not (_TEXTS.value and _COUNTS.value):
        raise app.UsageError("--texts and --counts must be given")
    data = folder.detect(_TEXTS.value, config_lib.Config())
    output = pathlib.Path(_COUNTS.value)
    output.mkdir(parents=True)
    counter = text.CountVectorizer(min_df=2)
    for split, name in (("train", "train"), (data.splits[0], "test")):
        texts: list[str] = []
        lengths, labels = [], []
        for part in data.read(split):
            if not isinstance(part, instances.TextInstances):
                raise app.UsageError("--texts must be a folder of texts")
            texts += part.texts
            lengths.append(np.diff(part.label_splits))
            labels.append(part.label_ids)
        of_labels = np.concatenate([[0], np.cumsum(np.concatenate(lengths))])
        ids = np.concatenate(labels)
        y = scipy.sparse.csr_matrix(
            (np.ones(len(ids), np.float32), ids, of_labels),
            (len(texts), data.num_labels),
        )
        if name == "train" and _MOST.value:
            texts, y = texts[: _MOST.value], y[: _MOST.value]
        count = counter.fit_transform if name == "train" else counter.transform
        for letter, matrix in (("X", count(texts)), ("Y", y)):
            path = output / f"{letter}.{name}.npz"
            scipy.sparse.save_npz(path, matrix.astype(np.float32))


if __name__ == "__main__":
    app.run(main)
