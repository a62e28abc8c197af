"""Nothing but DataError comes out of any bytes; any matrix comes back."""

import gzip
import io
import re

import hypothesis
import numpy as np
import pandas
import pyarrow
import pytest
import scipy.sparse
from hypothesis import strategies as st

from tfxml.data import bad_rows, data_errors, instances
from tfxml.data.formats import (
    filter_labels,
    folder,
    json_lines,
    label_names,
    matrices,
    row_checks,
    row_grammar,
    xc_text,
    xy_sparse,
)

TEXT = b"3 9 9\n3,1 0:1 2:0.5\n 4:1.25e-3\n2\n"
X = b"3 9\n0:1 2:0.5\n4:1.25e-3\n\n"
JSON = b"""\
{"uid": "a", "title": "A", "content": "\\u00e4", "target_ind": [3, 1]}
{"title": null, "content": "\xc3\xb6", "target_ind": []}
"""


def npz(compress=False):
    buffer = io.BytesIO()
    matrix = scipy.sparse.csr_matrix(np.eye(3, 9, dtype=np.float32))
    scipy.sparse.save_npz(buffer, matrix, compress)
    return buffer.getvalue()


READERS = {
    "xc_text": (xc_text.read, [("a.txt", TEXT)]),
    "xc_text_gz": (xc_text.read, [("a.gz", gzip.compress(TEXT, mtime=0))]),
    "xy_sparse": (xy_sparse.read, [("x.txt", X), ("y.txt", X)]),
    "matrices": (matrices.read, [("x.npz", npz()), ("y.npz", npz())]),
    "matrices_deflated": (
        matrices.read,
        [("x.npz", npz(True)), ("y.npz", npz(True))],
    ),
    "json_lines": (json_lines.read, [("a.json", JSON)]),
    "read_names": (json_lines.read_names, [("a.json", JSON)]),
    "filter_labels": (filter_labels.read, [("a.txt", b"1 2\n3 4\n")]),
    "names": (label_names.read, [("a.txt", b"a\nb\n")]),
}


def saved(save, *arguments, **words):
    """Returns the bytes that a function writes to a file."""
    buffer = io.BytesIO()
    save(buffer, *arguments, **words)
    return buffer.getvalue()


def frame():
    labels = [["x", "y"], [], ["x"]]
    return pandas.DataFrame({"text": ["a", "b", "c"], "labels": labels})


def arrow():
    data = pyarrow.Table.from_pandas(frame(), preserve_index=False)
    buffer = io.BytesIO()
    with pyarrow.ipc.new_stream(buffer, data.schema) as writer:
        writer.write_table(data)
    return buffer.getvalue()


ARFF = b"""\
@relation 'a: -C 1'
@attribute 'a b' {0,1}
@attribute c numeric
@attribute d {red,'b, c'}
@data
1,2,red
{0 1, 2 'b, c'}
"""
TABLE = b"""\
{"text": "a", "labels": ["x", "y"]}
{"text": "\\u00e4", "labels": [17]}
"""
XML = b'<labels><label name="c"/></labels>'
# What a folder holds, of the formats that look into their files first.
FOLDERS = {
    "libsvm": {"train.svm": b"3, 1 qid:1 0:1 2:0.5 # a\n\n 4:1\n2\n"},
    "text": {"train.txt": b"1 0:1\n"},
    "csv_table": {"train.csv": b'text,labels\n"a, b",x|y\nc,\n'},
    "json_table": {"train.jsonl": TABLE},
    "parquet": {"train.parquet": saved(frame().to_parquet)},
    "hf_datasets": {"train/data-00000-of-00001.arrow": arrow()},
    "fasttext": {"train.ft": b"__label__a b c\nd __label__e\n"},
    "text_lines": {"trn_X.txt": b"a\nb\nc\n", "trn_X_Y.txt": X},
    "text_npz": {"X.trn.txt": b"a\nb\nc\n", "Y.trn.npz": npz()},
    "arff": {"train.arff": ARFF},
    "arff_xml": {"train.arff": ARFF, "train.xml": XML},
    "npy": {
        "X_train.npy": saved(np.save, np.eye(3)),
        "Y_train.npy": saved(np.save, np.eye(3, dtype=bool)),
    },
    "csc_coo": {
        "X.trn.npz": saved(
            scipy.sparse.save_npz, scipy.sparse.csc_matrix(np.eye(3, 9))
        ),
        "Y.trn.npz": saved(
            scipy.sparse.save_npz, scipy.sparse.coo_matrix(np.eye(3, 9))
        ),
    },
    "xc_splits": {"T_data.txt": TEXT, "t_trSplit.txt": b"1 2\n2 1\n3 3\n"},
    "dense_beside": {
        "train.txt": TEXT,
        "dense_train.npy": saved(np.save, np.ones((3, 2), np.float32)),
    },
    "dense_npz": {
        "X.trn.npz": saved(np.savez_compressed, np.eye(3)),
        "Y.trn.npz": saved(np.savez, np.eye(3)),
    },
}

PIECES = st.one_of(
    st.binary(max_size=6),
    st.sampled_from(
        [
            *(bytes([b]) for b in b"0123456789,: .\n-+eE\t\r\0"),
            *(b"nan", b"1e999", b"99999999999999999999", b"1000000000000000"),
            *(b"__label__", b"qid:", b"#", b"'", b"@", b"%", b"&", b"<!"),
            *(b'"', b"[", b"]", b"{", b"}", b"\\ud800", b"true", b"null"),
            *(b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"'<f4'", b"'|O'"),
        ]
    ),
)


@st.composite
def mutations(draw, content):
    """Draws content after some of its slices gave way to other pieces."""
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(content)))
        stop = draw(st.integers(start, min(len(content), start + 4)))
        content = content[:start] + draw(PIECES) + content[stop:]
    return content[: draw(st.one_of(st.none(), st.integers(0, len(content))))]


def fuzz(max_examples):
    return hypothesis.settings(
        max_examples=max_examples,
        deadline=None,
        derandomize=True,
        suppress_health_check=[
            hypothesis.HealthCheck.function_scoped_fixture,
            hypothesis.HealthCheck.too_slow,
        ],
    )


def check(run):
    """Asserts what every run promises to its consumer."""
    assert run.label_splits[0] == 0
    assert run.label_splits[-1] == len(run.label_ids)
    assert len(run.label_splits) == run.num_instances + 1
    for start, stop in zip(
        run.label_splits[:-1], run.label_splits[1:], strict=True
    ):
        assert (np.diff(run.label_ids[start:stop]) > 0).all()
    if isinstance(run, instances.Instances):
        assert run.feature_splits[-1] == len(run.feature_ids)
        assert len(run.feature_ids) == len(run.feature_values)
        assert np.isfinite(run.feature_values).all()


@pytest.mark.parametrize("name", READERS)
@hypothesis.given(data=st.data())
@fuzz(100)
def test_mutated_files_raise_only_data_errors(tmp_path, name, data):
    read, files = READERS[name]
    paths = []
    for file_name, content in files:
        paths.append(str(tmp_path / file_name))
        content = data.draw(mutations(content))
        (tmp_path / file_name).write_bytes(content)
    try:
        for run in read(*paths):
            if read.__name__ == "read" and hasattr(run, "label_ids"):
                check(run)
    except data_errors.DataError as error:
        assert error.path in paths


@pytest.mark.parametrize("name", READERS)
@hypothesis.given(data=st.data())
@fuzz(50)
def test_random_bytes_raise_only_data_errors(tmp_path, name, data):
    read, files = READERS[name]
    paths = [str(tmp_path / file_name) for file_name, _ in files]
    for path in paths:
        with open(path, "wb") as file:
            file.write(data.draw(st.binary(max_size=200)))
    try:
        list(read(*paths))
    except data_errors.DataError as error:
        assert error.path in paths


@pytest.mark.parametrize("is_random", [False, True])
@pytest.mark.parametrize("name", FOLDERS)
@hypothesis.given(data=st.data())
@fuzz(60)
def test_mutated_folders_raise_only_data_errors(
    tmp_path, name, is_random, data
):
    for file_name, content in FOLDERS[name].items():
        path = tmp_path / file_name
        path.parent.mkdir(exist_ok=True)
        if is_random:
            content = data.draw(st.binary(max_size=200))
        path.write_bytes(data.draw(mutations(content)))
    for policy in bad_rows.POLICIES:
        try:
            found = folder.detect(str(tmp_path))
            for run in found.read("train", bad_rows.BadRows(policy)):
                check(run)
        except data_errors.DataError as error:
            assert error.path.startswith(str(tmp_path))


@hypothesis.given(
    st.lists(
        st.sampled_from([b"0", b"1", b"27", b"12345678", b"123456789"])
        | st.sampled_from([bytes([b]) for b in b",:: .\n-+eE\tx"]),
        max_size=25,
    )
)
@hypothesis.example([b"1", b":", b"9007199254740993", b"\n"])
@hypothesis.example([b"1:90071992.54740993 2:0.30000000000000004\n"])
@fuzz(500)
def test_both_parsers_agree(tokens):
    """The fast parser takes nothing else than the strict one."""
    chunk = b"".join(tokens) + b"\n"
    fast = row_grammar.parse(chunk)
    try:
        strict, _ = row_grammar.parse_lines(
            row_checks.Source("path", 0, 0), chunk, bad_rows.BadRows()
        )
    except data_errors.DataError:
        assert fast is None
        return
    if fast is not None:
        for mine, needed in zip(fast, strict, strict=True):
            np.testing.assert_array_equal(mine, needed)
    assert fast is not None or re.search(rb"[0-9]{9}", chunk)


VALUES = st.floats(width=32, allow_nan=False, allow_infinity=False)
FORMATS = st.sampled_from(["{!r}", "{:.9g}", "{:.17g}", "{:.10e}", "{:+.9e}"])


@st.composite
def data_sets(draw):
    """Draws (D, L, rows of ({label}, {feature: value}))."""
    num_features = draw(st.integers(1, 12) | st.just(2**31 - 1))
    num_labels = draw(st.integers(1, 12) | st.just(2**31 - 1))
    row = st.tuples(
        st.sets(st.integers(0, num_labels - 1), max_size=6),
        st.dictionaries(st.integers(0, num_features - 1), VALUES, max_size=6),
    )
    return num_features, num_labels, draw(st.lists(row, max_size=8))


def assert_rows(runs, rows):
    read = instances.concatenate(runs)
    assert read.num_instances == len(rows)
    for i, (labels, features) in enumerate(rows):
        start, stop = read.label_splits[i : i + 2]
        assert read.label_ids[start:stop].tolist() == sorted(labels)
        start, stop = read.feature_splits[i : i + 2]
        ids = read.feature_ids[start:stop].tolist()
        values = read.feature_values[start:stop].tolist()
        assert list(zip(ids, values, strict=True)) == sorted(features.items())


@hypothesis.given(data_sets(), FORMATS, st.integers(1, 50), st.randoms())
@fuzz(60)
def test_text_round_trip(tmp_path, data_set, form, chunk_bytes, random):
    num_features, num_labels, rows = data_set
    xc = [f"{len(rows)} {num_features} {num_labels}"]
    x, y = [f"{len(rows)} {num_features}"], [f"{len(rows)} {num_labels}"]
    for labels, features in rows:
        labels = random.sample(sorted(labels), len(labels))
        ids = random.sample(sorted(features), len(features))
        pairs = " ".join(f"{i}:{form.format(features[i])}" for i in ids)
        xc.append(",".join(map(str, labels)) + " " + pairs)
        x.append(pairs)
        y.append(" ".join(f"{label}:1" for label in labels))
    paths = []
    for name, lines in (("xc", xc), ("x", x), ("y", y)):
        paths.append(str(tmp_path / name))
        (tmp_path / name).write_text("\n".join(lines) + "\n")
    assert_rows(xc_text.read(paths[0], chunk_bytes=chunk_bytes), rows)
    assert_rows(xy_sparse.read(*paths[1:], chunk_bytes=chunk_bytes), rows)


def to_scipy(rows, num_columns):
    """Returns a matrix of rows of {column: value}."""
    splits = np.cumsum([0, *map(len, rows)])
    ids = np.array([i for row in rows for i in row], np.int32)
    values = np.array([v for row in rows for v in row.values()], np.float32)
    shape = (len(rows), num_columns)
    return scipy.sparse.csr_matrix((values, ids, splits), shape)


@hypothesis.given(data_sets(), st.booleans(), st.integers(1, 9))
@fuzz(30)
def test_npz_round_trip(tmp_path, data_set, compress, rows_per_run):
    num_features, num_labels, rows = data_set
    x = to_scipy([features for _, features in rows], num_features)
    y = to_scipy([dict.fromkeys(s, 1) for s, _ in rows], num_labels)
    paths = str(tmp_path / "x.npz"), str(tmp_path / "y.npz")
    for path, matrix in zip(paths, (x, y), strict=True):
        scipy.sparse.save_npz(path, matrix, compress)
    assert_rows(matrices.read(*paths, rows_per_run), rows)
