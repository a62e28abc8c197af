"""Each reader over broken files: refused by line, or skipped and counted."""

import gzip
import io
import json

import numpy as np
import pytest
import scipy.sparse

from tfxml.data import bad_rows, data_errors, files, instances
from tfxml.data.formats import (
    json_lines,
    label_space,
    matrices,
    xc_text,
    xy_sparse,
)

D, L = 9, 4
IDS = {"space": label_space.Ids(L)}


def xc(rows):
    return "\n".join([f"{len(rows)} {D} {L}", *rows]).encode() + b"\n"


def pairs(rows, columns):
    return "\n".join([f"{len(rows)} {columns}", *rows]).encode() + b"\n"


def record(**changes):
    row = {"title": "a b", "content": "c", "target_ind": [0], **changes}
    return json.dumps(row)


# The bad rows of each file: what needs to be named, and where.
XC_ROWS = [
    "0 1:1",
    "4 1:1",  # label out of range
    "-1 1:1",  # negative label
    "0 9:1",  # feature out of range
    "0 -2:1",  # negative feature
    "1 1:nan",
    "1 1:inf",
    "1 1:1e99",  # not finite as float32
    "1 1",  # no pair
    "1 x:1",
    "1 1:é",
    "2 3:1 3:1",  # good: summed
]
JSON_ROWS = [
    record(),
    "[1, 2]",
    '{"title": "a"',
    record(target_ind=[L]),
    record(target_ind=[-1]),
    record(target_ind="0"),
    record(target_ind=[True]),
    record(target_ind=None),
    record(title=5),
    '{"title": "\\ud800", "target_ind": []}',
    "NaN",
    "",
    record(target_ind=[3, 3]),  # good: a set
]


def write(path, content):
    path.write_bytes(content)
    return str(path)


def read_all(reader, paths, bad, **words):
    return list(reader(*paths, bad=bad, **words))


def cases(tmp_path):
    """Yields reader, paths, bad lines and how many rows are good."""
    lines = [line for line, row in enumerate(XC_ROWS, 2)][1:-1]
    path = write(tmp_path / "train.txt", xc(XC_ROWS))
    yield "xc_text", xc_text.read, [path], {}, lines, 2
    path = write(tmp_path / "train.txt.gz", gzip.compress(xc(XC_ROWS)))
    yield "xc_text_gz", xc_text.read, [path], {}, lines, 2
    content = b"\xef\xbb\xbf" + xc(XC_ROWS).replace(b"\n", b"\r\n")
    path = write(tmp_path / "bom.txt", content)
    yield "xc_text_bom_crlf", xc_text.read, [path], {}, lines, 2
    features = ["0:1", "9:1", "1:nan", "2:1", "3:1", "4:x", "1:2"]
    labels = ["0:1", "1:1", "1:1", "4:1", "1:inf", "1:1", "2:0 3:1"]
    paths = [
        write(tmp_path / "x.txt", pairs(features, D)),
        write(tmp_path / "y.txt", pairs(labels, L)),
    ]
    yield "xy_sparse", xy_sparse.read, paths, {}, [3, 4, 5, 6, 7], 2
    lines = list(range(2, len(JSON_ROWS)))
    path = write(tmp_path / "trn.json", "\n".join(JSON_ROWS).encode())
    yield (
        "json",
        json_lines.read,
        [path],
        IDS,
        lines,
        2,
    )
    content = b'{"title": "\xff", "target_ind": []}\n' + record().encode()
    path = write(tmp_path / "latin.json", content)
    yield (
        "json_latin",
        json_lines.read,
        [path],
        IDS,
        [1],
        1,
    )


NAMES = (
    "xc_text",
    "xc_text_gz",
    "xc_text_bom_crlf",
    "xy_sparse",
    "json",
    "json_latin",
)


def case(tmp_path, name):
    return next(c for c in cases(tmp_path) if c[0] == name)[1:]


@pytest.mark.parametrize("name", NAMES)
def test_error_names_the_first_bad_line(tmp_path, name):
    reader, paths, words, lines, _ = case(tmp_path, name)
    with pytest.raises(data_errors.RowError) as caught:
        read_all(reader, paths, bad_rows.BadRows(), **words)
    # Within a run grammar is looked at before limits.
    assert caught.value.line in lines
    assert caught.value.path in paths


@pytest.mark.parametrize("name", NAMES)
def test_skip_keeps_the_good_rows_and_counts_the_bad(tmp_path, name):
    reader, paths, words, lines, num_good = case(tmp_path, name)
    bad = bad_rows.BadRows("skip")
    runs = read_all(reader, paths, bad, **words)
    assert sum(run.num_instances for run in runs) == num_good
    assert bad.total == len(lines)
    for kind in bad.counts:
        assert kind in bad.report()
    assert f"skipped   {len(lines)} bad rows" in bad.report()


@pytest.mark.parametrize("name", NAMES)
def test_any_runs_of_rows_together_are_the_file(tmp_path, name):
    reader, paths, words, lines, num_good = case(tmp_path, name)
    total = len(lines) + num_good
    for edges in ([0, 1, total], [0, 3, 4, 7, total], [0, total]):
        bad = bad_rows.BadRows("skip")
        number = 0
        edges = [min(edge, total) for edge in edges]
        for first, last in zip(edges[:-1], edges[1:], strict=True):
            runs = read_all(
                reader, paths, bad, wanted=range(first, last), **words
            )
            number += sum(run.num_instances for run in runs)
        assert (number, bad.total) == (num_good, len(lines))


def test_good_rows_come_out_as_they_are(tmp_path):
    reader, paths, words, _, _ = case(tmp_path, "xc_text")
    runs = read_all(reader, paths, bad_rows.BadRows("skip"))
    found = instances.concatenate(runs)
    assert found.feature_ids.tolist() == [1, 3]
    assert found.feature_values.tolist() == [1.0, 2.0]
    assert found.label_ids.tolist() == [0, 2]


def test_csr_rows_are_skipped_in_both_files(tmp_path):
    rng = np.random.default_rng(0)
    x = scipy.sparse.csr_matrix(rng.random((6, D)).astype(np.float32))
    y = scipy.sparse.csr_matrix(np.eye(6, L, dtype=np.float32))
    x.indices[2] = D  # row 0
    x.data[2 * D] = np.nan  # row 2
    y.data[1] = np.inf  # row 1
    paths = [str(tmp_path / "X.trn.npz"), str(tmp_path / "Y.trn.npz")]
    for path, matrix in zip(paths, (x, y), strict=True):
        np.savez(
            path,
            format=b"csr",
            shape=matrix.shape,
            indptr=matrix.indptr,
            indices=matrix.indices,
            data=matrix.data,
        )
    with pytest.raises(data_errors.RowError, match="row 0 "):
        read_all(matrices.read, paths, bad_rows.BadRows())
    bad = bad_rows.BadRows("skip")
    (run,) = read_all(matrices.read, paths, bad)
    assert (run.num_instances, bad.total) == (3, 3)
    np.testing.assert_array_equal(
        run.feature_values.reshape(3, D), x.toarray()[3:]
    )
    assert run.label_ids.tolist() == [3]
    ranged = read_all(
        matrices.read, paths, bad_rows.BadRows("skip"), wanted=range(3, 6)
    )
    assert instances.concatenate(ranged).feature_ids.tolist() == (
        run.feature_ids.tolist()
    )


FILE_FAULTS = {
    "too few rows": xc(["0 1:1"]).replace(b"1 9", b"2 9", 1),
    "too many rows": xc(["0 1:1", "1 1:1"]).replace(b"2 9", b"1 9", 1),
    "no header": b"0 1:1\n",
    "negative header": b"-1 9 4\n",
    "empty": b"",
}


@pytest.mark.parametrize("policy", bad_rows.POLICIES)
@pytest.mark.parametrize("fault", FILE_FAULTS)
def test_a_file_that_is_not_whole_is_never_skipped(tmp_path, policy, fault):
    path = write(tmp_path / "train.txt", FILE_FAULTS[fault])
    with pytest.raises(data_errors.DataError):
        read_all(xc_text.read, [path], bad_rows.BadRows(policy))


@pytest.mark.parametrize("policy", bad_rows.POLICIES)
@pytest.mark.parametrize("size", [1, 40, 200])
def test_gzip_that_was_cut_is_never_skipped(tmp_path, policy, size):
    content = gzip.compress(xc([f"{i % L} {i % D}:{i}" for i in range(999)]))
    path = write(tmp_path / "train.txt.gz", content[:-size])
    with pytest.raises(data_errors.DataError, match="gzip"):
        read_all(xc_text.read, [path], bad_rows.BadRows(policy))


class _Endless(io.RawIOBase):
    """A file of 2 GiB without a line break; it counts what is read."""

    def __init__(self, head, size, tail):
        self._parts = [head, size, tail]

    def readable(self):
        return True

    def read(self, size=-1):
        head, left, tail = self._parts
        if head:
            self._parts[0] = head[size:]
            return head[:size]
        if left:
            taken = min(size, left)
            self._parts[1] -= taken
            return b"1" * taken
        self._parts[2] = tail[size:]
        return tail[:size]


@pytest.fixture
def line_of_2_gib(monkeypatch):
    head, tail = xc(["0 1:1", "1 1:", "2 2:1"]).split(b"\n2 2")
    monkeypatch.setattr(
        files,
        "open_binary",
        lambda path: _Endless(head, 1 << 31, b"\n2 2" + tail),
    )


def test_a_line_of_2_gib_is_refused_without_reading_it(line_of_2_gib):
    with pytest.raises(data_errors.DataError, match="x.txt:3: found more than"):
        read_all(xc_text.read, ["x.txt"], bad_rows.BadRows())


@pytest.mark.slow
def test_a_line_of_2_gib_is_skipped_and_never_held(line_of_2_gib):
    bad = bad_rows.BadRows("skip")
    runs = read_all(xc_text.read, ["x.txt"], bad, chunk_bytes=1 << 20)
    assert instances.concatenate(runs).label_ids.tolist() == [0, 2]
    assert bad.total == 1
    assert "longer-than-67108864-bytes" in bad.report()


def test_a_long_line_is_skipped(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MAX_LINE_BYTES", 1000)
    rows = ["0 1:1", "1 1:" + "1" * 5000, "2 2:1", "3 " + "1:1 " * 4000]
    path = write(tmp_path / "train.txt", xc(rows))
    bad = bad_rows.BadRows("skip")
    runs = read_all(xc_text.read, [path], bad, chunk_bytes=256)
    assert instances.concatenate(runs).label_ids.tolist() == [0, 2]
    assert bad.total == 2
    text = "\n".join([record(), record(title="x" * 5000), record()])
    path = write(tmp_path / "trn.json", text.encode())
    bad = bad_rows.BadRows("skip")
    runs = read_all(json_lines.read, [path], bad, chunk_bytes=256)
    assert sum(run.num_instances for run in runs) == 2
    assert bad.total == 1


def test_an_unknown_policy_is_refused():
    with pytest.raises(ValueError, match="`bad_rows` must be one of"):
        bad_rows.BadRows("clip")
