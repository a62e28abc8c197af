"""The formats of data sets. A new one is a module and a line here.

A module has

- FILES: patterns of the files of one split, or of one piece of it; SPLIT
  stands for any name of the split, PART for a number of several files;
- ENDING: of the name of a file that may be a whole data set, if any may;
- EXAMPLE: how files are called, for a message;
- OPTIONS: which fields of ReadOptions it takes;
- survey(pieces, data_dir, options, read_names): returns a Survey;
- read(*paths, bad=, wanted=, **survey.arguments): yields runs of instances;
- count_rows(*paths), if a survey may leave sizes out;
- YIELDS_TO, if its files may stand beside those of another format.
"""

from __future__ import annotations

from tfxml.data.formats import (
    csv_table,
    fasttext,
    hf_datasets,
    json_lines,
    libsvm,
    matrices,
    mulan_arff,
    parquet,
    text_lines,
    xc_splits,
    xc_text,
    xy_sparse,
)

FORMATS = {
    "xc_text": xc_text,
    "xc_splits": xc_splits,
    "xy_sparse": xy_sparse,
    "libsvm": libsvm,
    "matrices": matrices,
    "json_lines": json_lines,
    "csv_table": csv_table,
    "parquet": parquet,
    "hf_datasets": hf_datasets,
    "fasttext": fasttext,
    "text_lines": text_lines,
    "mulan_arff": mulan_arff,
}

# Those whose files may be called train.txt: the first line tells.
KINDS_OF_TXT = ("xc_text", "libsvm", "fasttext")


def examples() -> str:
    """Returns what files the formats have, for a message."""
    listed = "; ".join(f"{n}: {m.EXAMPLE}" for n, m in FORMATS.items())
    return f"{listed}. Text may be gzip, a third split is dev"
