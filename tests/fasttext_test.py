"""fastText's lines by hand, good and broken."""

import gzip

import numpy as np
import pytest

from tfxml.data import bad_rows, data_errors
from tfxml.data.formats import fasttext, folder

GOOD = """\
__label__law __label__fish Cod quotas in 2024
No label here
words before __label__law words after
__label__Tiere
"""
TEXTS = ["Cod quotas in 2024", "No label here", "words before words after", ""]
NAMES = ["Tiere", "fish", "law"]
IDS = [[1, 2], [], [2], [0]]


def rows_of(runs):
    runs = list(runs)
    return (
        [text for run in runs for text in run.texts],
        [
            row.tolist()
            for run in runs
            for row in np.split(run.label_ids, run.label_splits[1:-1])
        ],
    )


@pytest.mark.parametrize(
    "name, content",
    [
        ("train.txt", GOOD),
        ("cooking_train.txt.gz", GOOD),
        ("cooking.train", GOOD),
        ("train.ft", GOOD[:-1]),
        ("train.fasttext", GOOD.replace("\n", "\r\n")),
        ("train.txt", "\ufeff" + GOOD),
        ("train.txt", GOOD.replace("\n", "\n\n  \n") + "\n"),
        ("train.txt", GOOD.replace(" ", "\t ")),
        ("train.txt", GOOD.replace("__label__law", "__label__law " * 2)),
        ("train.txt", "\n" + GOOD),
    ],
    ids=range(10),
)
@pytest.mark.parametrize("chunk_bytes", [1, 30, 1 << 20])
def test_the_same_lines_said_differently(tmp_path, name, content, chunk_bytes):
    content = content.encode()
    content = gzip.compress(content) if name.endswith("gz") else content
    (tmp_path / name).write_bytes(content)
    found = folder.detect(str(tmp_path))
    assert (found.format, found.num_features) == ("fasttext", None)
    assert found.label_names() == NAMES
    assert found.count_rows("train") == 4
    assert fasttext.count_rows(str(tmp_path / name)) == 4
    runs = fasttext.read(
        str(tmp_path / name), chunk_bytes=chunk_bytes, **found.arguments
    )
    assert rows_of(runs) == (TEXTS, IDS)
    for first, last in ((0, 2), (1, 4), (3, 4)):
        texts, ids = rows_of(found.read("train", wanted=range(first, last)))
        assert (texts, ids) == (TEXTS[first:last], IDS[first:last])


def test_labels_of_a_test_split(tmp_path):
    (tmp_path / "cooking.train").write_text(GOOD)
    (tmp_path / "cooking.valid").write_text("__label__zoo __label__law a\n")
    found = folder.detect(str(tmp_path))
    assert found.splits == ("dev", "train")
    assert rows_of(found.read("dev")) == (["a"], [[2]])
    (note,) = found.notes
    assert note.startswith("dev names 1 labels that training never had")


@pytest.mark.parametrize(
    "line, found",
    [
        (b"__label__ a", "an empty label"),
        (b"\xff a", r"\xff"),
        (b"__label__\xe9 a", r"\xe9"),
    ],
)
def test_a_bad_line_is_named_or_skipped(tmp_path, line, found):
    content = GOOD.encode() + b"\n" + line + b"\n" + GOOD.encode()
    (tmp_path / "train.txt").write_bytes(content)
    data = folder.detect(str(tmp_path))
    with pytest.raises(data_errors.RowError) as caught:
        list(data.read("train"))
    assert (caught.value.line, caught.value.row) == (6, 4)
    assert found in caught.value.found
    bad = bad_rows.BadRows("skip")
    assert rows_of(data.read("train", bad)) == (TEXTS * 2, IDS * 2)
    assert bad.total == 1


def test_lines_without_any_label_are_no_fasttext(tmp_path):
    (tmp_path / "train.ft").write_text("a b\n")
    with pytest.raises(data_errors.DataError, match="no label"):
        folder.detect(str(tmp_path))
    (tmp_path / "train.ft").rename(tmp_path / "train.txt")
    with pytest.raises(data_errors.DataError, match="needed a header of 3"):
        folder.detect(str(tmp_path))
