"""One data file and the files that cut it into train and test."""

import gzip
import io
import zipfile

import numpy as np
import pytest

from tfxml import config as config_lib
from tfxml import prepare
from tfxml.data import bad_rows, data_errors
from tfxml.data import instances as instances_lib
from tfxml.data.catalogue import known_sets, named_sets
from tfxml.data.formats import folder
from tfxml.run import datasets

N, D, L = 200, 30, 8


def _rows():
    rng = np.random.default_rng(0)
    return [
        (
            np.unique(rng.integers(0, L, rng.integers(0, 4))).tolist(),
            np.unique(rng.integers(0, D, rng.integers(0, 9))).tolist(),
        )
        for _ in range(N)
    ]


def _line(row):
    labels, features = row
    pairs = (f" {i}:{i + 0.5}" for i in features)
    return ",".join(map(str, labels)) + "".join(pairs)


def _write(path, lines=None, columns=None):
    """Writes the archive's files; returns the columns, from 1."""
    lines = lines or list(map(_line, _rows()))
    if columns is None:
        rng = np.random.default_rng(1)
        columns = np.stack([rng.permutation(N) + 1 for _ in range(3)], 1)
    path.mkdir(exist_ok=True)
    text = f"{N} {D} {L}\n" + "\n".join(lines) + "\n"
    (path / "Bibtex_data.txt").write_text(text)
    for name, part in (("tr", columns[:120]), ("tst", columns[120:])):
        np.savetxt(path / f"bibtex_{name}Split.txt", part, "%d")
    return columns


def _read(data, split, **words):
    runs = list(folder.detect(str(data)).read(split, **words))
    found = instances_lib.concatenate(runs)
    return [
        (
            found.label_ids[slice(*found.label_splits[i : i + 2])].tolist(),
            found.feature_ids[slice(*found.feature_splits[i : i + 2])].tolist(),
        )
        for i in range(found.num_instances)
    ]


@pytest.mark.parametrize("chunk_bytes", [100, 1 << 17])
def test_splits_are_those_of_the_first_column(
    tmp_path, chunk_bytes, monkeypatch
):
    monkeypatch.setattr(
        "tfxml.data.formats.sparse_text.CHUNK_BYTES", chunk_bytes
    )
    columns = _write(tmp_path)
    found = folder.detect(str(tmp_path))
    assert (found.format, found.num_features) == ("xc_splits", D)
    assert (found.splits, found.num_labels) == (("test", "train"), L)
    rows = _rows()
    for split, part in (("train", columns[:120]), ("test", columns[120:])):
        expected = [rows[i - 1] for i in sorted(part[:, 0])]
        assert _read(tmp_path, split) == expected
        assert found.num_instances(split) == len(expected)
        assert _read(tmp_path, split, wanted=range(5, 17)) == expected[5:17]


def test_prepared_rows_are_those_of_the_split(tmp_path):
    _write(tmp_path / "data")
    config = config_lib.Config()
    out = str(tmp_path / "out")
    prepare.prepare(config, str(tmp_path / "data"), out, num_shards=3)
    one, other = (
        datasets.training_data(config, path)
        for path in (str(tmp_path / "data"), out)
    )
    for split in ("train", "evaluation"):
        rows = [
            [
                rows.to_list()
                for rows in getattr(data, split).rows(np.arange(80))[0].values()
            ]
            for data in (one, other)
        ]
        assert rows[0] == rows[1]


def test_gzip_and_any_name(tmp_path):
    columns = _write(tmp_path)
    for path in list(tmp_path.iterdir()):
        name = path.name.replace("bibtex_", "delicious-").lower()
        name = name.replace("split", "Split").replace("bibtex_", "")
        content = gzip.compress(path.read_bytes())
        path.unlink()
        (tmp_path / f"{name}.gz").write_bytes(content)
    assert len(_read(tmp_path, "train")) == len(columns[:120])


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("0 1 2\n", 1, "instance 0; needed instances from 1 to 200"),
        ("1 2 3\n201 2 3\n", 2, "instance 201"),
        ("5 2 3\n\n5 1 1\n", 3, "instance 5 again, after line 1"),
        ("1 2 3\n2 3\n", 2, "needed 3 numbers"),
        ("1 2 3\n2 x 3\n", 2, "needed 3 numbers"),
        ("1 2 3\n-2 1 3\n", 2, "needed 3 numbers"),
    ],
)
def test_bad_index_files_are_told_with_their_line(tmp_path, text, line, words):
    _write(tmp_path)
    path = tmp_path / "bibtex_trSplit.txt"
    path.write_text(text)
    with pytest.raises(data_errors.DataError, match=words) as caught:
        folder.detect(str(tmp_path))
    assert (caught.value.path, caught.value.line) == (str(path), line)


@pytest.mark.parametrize("bad_line", ["1 3", "1 3:nan", "99 3:1", "1 999:1"])
def test_bad_rows_are_told_with_their_line_in_the_data_file(tmp_path, bad_line):
    lines = list(map(_line, _rows()))
    columns = _write(tmp_path)
    row = int(columns[7, 0]) - 1  # of the training split
    lines[row] = bad_line
    _write(tmp_path, lines)
    with pytest.raises(data_errors.RowError) as caught:
        _read(tmp_path, "train")
    assert caught.value.line == row + 2
    assert caught.value.path == str(tmp_path / "Bibtex_data.txt")
    assert len(_read(tmp_path, "test")) == 80  # it is none of its rows
    bad = bad_rows.BadRows("skip")
    assert len(_read(tmp_path, "train", bad=bad)) == 119
    assert bad.total == 1


def test_an_index_without_the_data_is_told(tmp_path):
    _write(tmp_path)
    (tmp_path / "Bibtex_data.txt").unlink()
    with pytest.raises(data_errors.DataError, match="without its pair"):
        folder.detect(str(tmp_path))


def test_a_data_file_that_was_cut_is_told(tmp_path):
    _write(tmp_path, list(map(_line, _rows()))[:-1])
    with pytest.raises(
        data_errors.DataError, match="199 rows after the header"
    ):
        _read(tmp_path, "train")


def test_the_archive_of_a_named_set_is_read(tmp_path):
    _write(tmp_path / "Bibtex")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path in (tmp_path / "Bibtex").iterdir():
            archive.write(path, f"Bibtex/{path.name}")
    data = tmp_path / "data"
    data.mkdir()
    (data / "bibtex.zip").write_bytes(packed.getvalue())
    found = named_sets.ensure(known_sets.entries()["bibtex"], data)
    assert (found.format, found.num_instances("train")) == ("xc_splits", 120)
