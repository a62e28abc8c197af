"""Ten small files of every format have the right rows, or the right error."""

import re

import numpy as np
import pytest
import small_files

from tfxml.data import data_errors, instances
from tfxml.data.formats import folder, format_table

CASES = [
    pytest.param(name, files, error, id=f"{name}-{kind}")
    for name, rows in small_files.FILES.items()
    for kind, files, error in rows
]


def test_every_format_has_ten_files():
    assert list(small_files.FILES) == list(format_table.FORMATS)
    for rows in small_files.FILES.values():
        assert len({kind for kind, *_ in rows}) == 10
        assert sum(error is small_files.GOOD for *_, error in rows) == 4


def _rows(runs):
    """Returns features or texts, and labels, of each row."""
    inputs, labels = [], []
    for run in runs:
        sets = np.split(run.label_ids, run.label_splits[1:-1])
        labels += [ids.tolist() for ids in sets]
        if isinstance(run, instances.TextInstances):
            inputs += run.texts
            continue
        edges = run.feature_splits[1:-1]
        ids = np.split(run.feature_ids, edges)
        values = np.split(run.feature_values, edges)
        inputs += [
            dict(zip(i.tolist(), v.tolist(), strict=True))
            for i, v in zip(ids, values, strict=True)
        ]
    return inputs, labels


@pytest.mark.parametrize("name, files, error", CASES)
def test_small_files(tmp_path, name, files, error):
    for file_name, content in files.items():
        path = tmp_path / file_name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    if error is not small_files.GOOD:
        with pytest.raises(data_errors.DataError) as caught:
            found = folder.detect(str(tmp_path))
            found.label_names()
            _rows(found.read("train"))
        told = str(caught.value)
        assert told.startswith(str(tmp_path)) and re.search(error, told), told
        return
    found = folder.detect(str(tmp_path))
    inputs, labels = _rows(found.read("train"))
    is_text = found.num_features is None
    assert (found.format, found.num_labels) == (name, 3)
    assert inputs == (small_files.TEXTS if is_text else small_files.FEATURES)
    assert labels == small_files.LABELS
    assert found.label_names() in (None, small_files.NAMES, ["1", "2", "3"])
