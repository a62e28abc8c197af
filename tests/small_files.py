"""Ten small files of each format, the same in all: four good, six broken.

A row of `FILES` says what a folder is, its files, and a part of the error that
must come; or GOOD, where the rows are `FEATURES` or `TEXTS`, and `LABELS`.
"""

import gzip
import io
import json

import numpy as np
import pandas
import pyarrow
import scipy.sparse

FEATURES = [{0: 1.0, 2: 0.5}, {1: 2.0}, {3: 0.25}]
TEXTS = ["cod quotas", "court", "a keeper of zoos"]
LABELS = [[0, 1], [2], []]
NAMES = ["fish", "law", "zoo"]
GOOD = None


def _npz(rows, width, kind="csr", **words):
    """Returns what scipy.sparse.save_npz writes of dictionaries or sets."""
    dense = np.zeros((len(rows), width), np.float32)
    for row, cells in enumerate(rows):
        for column in cells:
            dense[row, column] = cells[column] if type(cells) is dict else 1
    buffer = io.BytesIO()
    matrix = getattr(scipy.sparse, f"{kind}_matrix")(dense)
    scipy.sparse.save_npz(buffer, matrix, **words)
    return buffer.getvalue()


def _frame(labels=None, text="text"):
    sets = [[NAMES[i] for i in ids] for ids in LABELS]
    return pandas.DataFrame({text: TEXTS, "labels": labels or sets})


def _parquet(frame):
    buffer = io.BytesIO()
    frame.to_parquet(buffer)
    return buffer.getvalue()


def _arrow(frame):
    data = pyarrow.Table.from_pandas(frame, preserve_index=False)
    buffer = io.BytesIO()
    with pyarrow.ipc.new_stream(buffer, data.schema) as writer:
        writer.write_table(data)
    return buffer.getvalue()


def _crlf(content):
    return content.replace(b"\n", b"\r\n")


def _cut(content):
    """Returns a gzip file that ends too soon."""
    return gzip.compress(content)[:-9]


def _halves(content, name, head=b""):
    """Returns two files of a file's lines, each with the head."""
    lines = content.removeprefix(head).splitlines(keepends=True)
    return {
        name.format(1): head + lines[0],
        name.format(2): head + b"".join(lines[1:]),
    }


# --- the folders of formats -------------------------------------------------

XC = b"3 4 3\n0,1 0:1 2:0.5\n2 1:2\n 3:0.25\n"
SPLIT = b"1\n2\n3\n"
X = b"3 4\n0:1 2:0.5\n1:2\n3:0.25\n"
Y = b"3 3\n0:1 1:1\n2:1\n\n"
SVM = b"0,1 0:1 2:0.5\n2 1:2\n 3:0.25\n"
ONE_BASED = b"# ids from 1\n1, 2 1:1 3:0.5\n3 2:2\n 4:0.25 # none\n"
CSV = b"text,labels\ncod quotas,fish|law\ncourt,zoo\na keeper of zoos,\n"
FASTTEXT = (
    b"__label__fish __label__law cod quotas\n__label__zoo court\n"
    b"a keeper of zoos\n"
)
RAW = "\n".join(TEXTS).encode() + b"\n"
NAMES_FILE = "\n".join(NAMES).encode()
JSON = b"".join(
    json.dumps({"text": text, "labels": labels}).encode() + b"\n"
    for text, labels in _frame().itertuples(index=False)
)
ARFF = b"""\
@relation 'toy: -C 3'
@attribute fish {0,1}
@attribute law {0,1}
@attribute zoo {0,1}
@attribute a numeric
@attribute b numeric
@attribute c numeric
@attribute d numeric
@data
1,1,0,1,0,0.5,0
0,0,1,0,2,0,0
0,0,0,0,0,0,0.25
"""
NO_SPLIT = [["fish", "law"], ["zoo"], None]


def _indexed(index=SPLIT, data=XC):
    return {"T_data.txt": data, "t_trSplit.txt": index}


def _pair(x=X, y=Y):
    return {"trn_X_Xf.txt": x, "trn_X_Y.txt": y}


def _matrices(x=FEATURES, y=LABELS, kind="csr", **words):
    if not isinstance(x, bytes):
        x = _npz(x, 4, kind, **words)
    return {"X.trn.npz": x, "Y.trn.npz": _npz(y, 3, kind)}


def _tables(*pieces, folder="train-", ending="parquet", write=_parquet):
    """Returns the files of a table in pieces."""
    return {
        f"{folder}{i:05}-of-{len(pieces):05}.{ending}": write(piece)
        if isinstance(piece, pandas.DataFrame)
        else piece
        for i, piece in enumerate(pieces)
    }


def _saved(*pieces, folder="train/data-"):
    """Returns the files of `save_to_disk`."""
    beside = {"train/state.json": b"{}", "dataset_dict.json": b"{}"}
    if folder == "data-":
        beside = {"state.json": b"{}", "dataset_info.json": b"{}"}
    return beside | _tables(
        *pieces, folder=folder, ending="arrow", write=_arrow
    )


def _raw(x=RAW, y=Y, names=None):
    files = {"trn_X.txt": x, "trn_X_Y.txt": y}
    return files if names is None else files | {"Y.txt": names}


def _arff(content=ARFF, names=None):
    """Returns the file, and one of label names in place of a count."""
    if names is None:
        return {"toy-train.arff": content}
    labels = "".join(f'<label name="{name}"/>' for name in names)
    return {
        "toy-train.arff": content.replace(b": -C 3", b""),
        "toy.xml": f"<labels>{labels}</labels>".encode(),
    }


FILES = {
    "xc_text": [
        ("plain", {"train.txt": XC}, GOOD),
        ("packed", {"eurlex_train.txt.gz": gzip.compress(XC)}, GOOD),
        ("other line ends", {"train.txt": _crlf(XC)[:-2]}, GOOD),
        ("repeats", {"train.txt": XC.replace(b"0,1", b"1,0,1")}, GOOD),
        ("empty", {"train.txt": b""}, "train.txt"),
        ("cut short", {"train.txt.gz": _cut(XC)}, "train.txt.gz"),
        ("fewer rows", {"train.txt": XC[:-8]}, "2 rows"),
        ("bad label", {"train.txt": XC.replace(b"2 1", b"3 1")}, "label id 3"),
        ("bad id", {"train.txt": XC.replace(b"3:0", b"4:0")}, "feature id 4"),
        ("bad value", {"train.txt": XC.replace(b"1:2", b"1:nan")}, "'nan'"),
    ],
    "xc_splits": [
        ("plain", _indexed(), GOOD),
        ("other line ends", _indexed(_crlf(SPLIT), _crlf(XC)), GOOD),
        ("several columns", _indexed(b"1 3\n2 2\n3 1\n"), GOOD),
        ("repeats", _indexed(data=XC.replace(b"0,1", b"1,0,1")), GOOD),
        ("no index", {"T_data.txt": XC}, "without its pair|T_data.txt"),
        ("no such row", _indexed(b"1\n4\n"), "instance 4"),
        ("a row from 0", _indexed(b"0\n"), "instance 0"),
        ("a row twice", _indexed(b"1\n1\n"), "instance 1 again"),
        ("no number", _indexed(b"one\n"), "one"),
        ("bad label", _indexed(data=XC.replace(b"2 1", b"3 1")), "label id 3"),
    ],
    "xy_sparse": [
        ("plain", _pair(), GOOD),
        (
            "packed",
            {f"{k}.gz": gzip.compress(v) for k, v in _pair().items()},
            GOOD,
        ),
        ("other line ends", _pair(_crlf(X), _crlf(Y)), GOOD),
        ("a label of 0", _pair(y=Y.replace(b"2:1", b"1:0 2:1")), GOOD),
        ("empty", _pair(y=b""), "trn_X_Y.txt"),
        ("no labels", {"trn_X_Xf.txt": X}, "without its pair"),
        ("fewer rows", _pair(y=b"2 3\n0:1\n2:1\n"), "2 rows"),
        ("bad label", _pair(y=Y.replace(b"2:", b"3:")), "label id 3"),
        ("bad id", _pair(X.replace(b"3:", b"4:")), "feature id 4"),
        ("bad value", _pair(X.replace(b"1:2", b"1:inf")), "value 'inf'"),
    ],
    "libsvm": [
        ("plain", {"train.svm": SVM}, GOOD),
        ("packed", {"train.libsvm.gz": gzip.compress(SVM)}, GOOD),
        ("several files", _halves(SVM, "train_{}.svm"), GOOD),
        ("from 1, comments, spaces", {"train.txt": ONE_BASED}, GOOD),
        ("empty", {"train.svm": b""}, "no label"),
        ("cut short", {"train.svm.gz": _cut(SVM)}, "train.svm.gz"),
        ("no labels", {"train.svm": b" 0:1\n"}, "no label"),
        ("bad label", {"train.svm": SVM.replace(b"2 1", b"-2 1")}, "id '-2'"),
        ("bad id", {"train.svm": SVM.replace(b"1:2", b"x:2")}, "id 'x'"),
        ("bad value", {"train.svm": SVM.replace(b"1:2", b"1:nan")}, "'nan'"),
    ],
    "matrices": [
        ("plain", _matrices(), GOOD),
        ("not packed", _matrices(compressed=False), GOOD),
        ("CSC", _matrices(kind="csc"), GOOD),
        ("COO", _matrices(kind="coo"), GOOD),
        ("empty", _matrices(b""), "X.trn.npz"),
        ("cut short", _matrices(_npz(FEATURES, 4)[:-30]), "X.trn.npz"),
        ("fewer rows", _matrices(y=LABELS[:2]), "2 rows"),
        ("BSR", _matrices(_npz(FEATURES, 4, "bsr")), "'bsr'"),
        ("no labels", {"X.trn.npz": _npz(FEATURES, 4)}, "without its pair"),
        ("bad value", _matrices([{0: np.nan}] * 3), "nan"),
    ],
    "json_lines": [
        ("plain", {"train.jsonl": JSON}, GOOD),
        ("packed", {"train.json.gz": gzip.compress(JSON)}, GOOD),
        ("several files", _halves(JSON, "train_{}.jsonl"), GOOD),
        ("other line ends", {"train.jsonl": _crlf(JSON)[:-2]}, GOOD),
        ("empty", {"train.jsonl": b""}, "train.jsonl"),
        ("cut short", {"train.json.gz": _cut(JSON)}, "train.json.gz"),
        ("one array", {"train.jsonl": b"[" + JSON + b"]"}, "array"),
        ("other keys", {"train.jsonl": JSON.replace(b"text", b"x")}, "keys.*x"),
        (
            "bad label",
            {"train.jsonl": JSON.replace(b'["zoo"]', b"[1.5]")},
            "jsonl:2: found float in `labels`",
        ),
        ("bad text", {"train.jsonl": JSON.replace(b'"court"', b"7")}, "text"),
    ],
    "csv_table": [
        ("plain", {"train.csv": CSV}, GOOD),
        ("packed", {"train.csv.gz": gzip.compress(CSV)}, GOOD),
        ("several files", _halves(CSV, "train_{}.csv", CSV[:12]), GOOD),
        ("tabs", {"train.tsv": CSV.replace(b",", b"\t")}, GOOD),
        ("empty", {"train.csv": b""}, "train.csv"),
        ("cut short", {"train.csv.gz": _cut(CSV)}, "train.csv.gz"),
        ("no header", {"train.csv": CSV[12:]}, "cod quotas"),
        ("other keys", {"train.csv": CSV.replace(b"text", b"x")}, "x"),
        ("a cell more", {"train.csv": CSV.replace(b"zoo\n", b"zoo,9\n")}, "3"),
        (
            "open quote",
            {"train.csv": CSV.replace(b"court", b'"c')},
            "train.csv",
        ),
    ],
    "parquet": [
        ("plain", {"train.parquet": _parquet(_frame())}, GOOD),
        ("in data/", _tables(_frame(), folder="data/train-"), GOOD),
        ("several files", _tables(_frame()[:1], _frame()[1:]), GOOD),
        ("no label", _tables(_frame(NO_SPLIT)), GOOD),
        ("empty", _tables(b""), "train-00000-of-00001.parquet"),
        ("cut short", _tables(_parquet(_frame())[:-30]), "parquet"),
        (
            "a piece too few",
            dict(list(_tables(_frame(), b"").items())[:1]),
            "00001|2",
        ),
        ("other keys", _tables(_frame(text="x")), "x"),
        ("no labels", _tables(_frame()[["text"]]), "text"),
        ("bad label", _tables(_frame([1.5, 2.5, 3.5])), "float as `labels`"),
    ],
    "hf_datasets": [
        ("plain", _saved(_frame()), GOOD),
        ("one split", _saved(_frame(), folder="data-"), GOOD),
        ("several files", _saved(_frame()[:1], _frame()[1:]), GOOD),
        ("no label", _saved(_frame(NO_SPLIT)), GOOD),
        ("empty", _saved(b""), "data-00000-of-00001.arrow"),
        ("cut short", _saved(_arrow(_frame())[:-90]), "arrow"),
        (
            "a piece too few",
            dict(list(_saved(_frame(), b"").items())[:-1]),
            "00001|2",
        ),
        ("other keys", _saved(_frame(text="x")), "x"),
        ("no labels", _saved(_frame()[["text"]]), "text"),
        ("bad label", _saved(_frame([1.5, 2.5, 3.5])), "float as `labels`"),
    ],
    "fasttext": [
        ("plain", {"train.txt": FASTTEXT}, GOOD),
        ("packed", {"train.txt.gz": gzip.compress(FASTTEXT)}, GOOD),
        ("several files", _halves(FASTTEXT, "train_{}.ft"), GOOD),
        ("other line ends", {"cooking.train": _crlf(FASTTEXT)[:-2]}, GOOD),
        ("empty", {"train.ft": b""}, "no row"),
        ("cut short", {"train.ft.gz": _cut(FASTTEXT)}, "train.ft.gz"),
        ("no labels", {"train.ft": RAW}, "no label"),
        ("no name", {"train.ft": FASTTEXT.replace(b"zoo", b"")}, "label"),
        ("not UTF-8", {"train.ft": b"\xff" + FASTTEXT}, "UTF-8|utf-8"),
        ("no split", {"all_the_data.ft": FASTTEXT}, "all_the_data.ft"),
    ],
    "text_lines": [
        ("plain", _raw(names=NAMES_FILE), GOOD),
        (
            "packed",
            {f"{k}.gz": gzip.compress(v) for k, v in _raw().items()},
            GOOD,
        ),
        (
            "DeepXML",
            {"raw/trn_X.txt": RAW, "trn_X_Y.txt": Y, "raw/Y.txt": NAMES_FILE},
            GOOD,
        ),
        (
            "PECOS",
            {
                "X.trn.txt": RAW,
                "Y.trn.npz": _npz(LABELS, 3),
                "output-items.txt": NAMES_FILE,
            },
            GOOD,
        ),
        ("empty", _raw(b""), "0 lines"),
        ("no labels", {"trn_X.txt": RAW}, "without its pair"),
        ("a line less", _raw(RAW[:-17]), "2 lines"),
        ("a line more", _raw(RAW + b"more\n"), "one line more"),
        ("bad label", _raw(y=Y.replace(b"2:", b"3:")), "label id 3"),
        ("a name less", _raw(names=NAMES_FILE[:-4]), "2 names"),
    ],
    "mulan_arff": [
        ("plain", _arff(), GOOD),
        ("packed", {"toy-train.arff.gz": gzip.compress(ARFF)}, GOOD),
        ("comments", _arff(b"% said\n" + _crlf(ARFF)), GOOD),
        ("labels in XML", _arff(names=NAMES), GOOD),
        ("empty", _arff(b""), "toy-train.arff"),
        ("cut short", {"toy-train.arff.gz": _cut(ARFF)}, "toy-train.arff.gz"),
        ("no labels", _arff(ARFF.replace(b": -C 3", b"")), "toy.*xml|-C"),
        ("other labels", _arff(names=["x"]), "x"),
        ("a cell more", _arff(ARFF.replace(b"1,0,2", b"1,0,2,9")), "8"),
        ("bad value", _arff(ARFF.replace(b"0.25", b"nan")), "nan"),
    ],
}
