"""Tables of text and labels in every file format, against pandas."""

import csv
import gzip
import io
import json
import sys
import tracemalloc

import numpy as np
import pandas
import pyarrow
import pyarrow.parquet
import pytest

from tfxml.data import bad_rows, data_errors
from tfxml.data.formats import csv_table, folder, read_options

ROWS = [
    ("Cod quotas, 2024", ["fish", "law"]),
    ('A "new"\nparliament', ["law"]),
    ("", []),
    ("Zürich\u2028Tiere", ["fish", "Tiere", "zoo"]),
]
NAMES = ["Tiere", "fish", "law", "zoo"]
IDS = [[1, 2], [2], [], [0, 1, 3]]


def to_csv(rows, delimiter=",", separator="|"):
    file = io.StringIO()
    writer = csv.writer(file, delimiter=delimiter)
    writer.writerow(["id", "text", "labels"])
    for number, (text, labels) in enumerate(rows):
        writer.writerow([number, text, separator.join(labels)])
    return file.getvalue().encode()


def to_json(rows, text="text", label="labels"):
    lines = [json.dumps({text: t, label: labels}) for t, labels in rows]
    return "\n".join(lines).encode()


def to_parquet(rows, path):
    frame = pandas.DataFrame(rows, columns=["text", "labels"])
    frame.to_parquet(path, row_group_size=2)


def to_arrow(rows, path, features=None):
    """Writes a file as `datasets` does: a stream, its features in metadata."""
    data = pyarrow.table(
        {
            "text": [text for text, _ in rows],
            "labels": pyarrow.array(
                [labels for _, labels in rows],
                pyarrow.list_(
                    pyarrow.int64() if features else pyarrow.string()
                ),
            ),
        }
    )
    if features:
        info = json.dumps({"info": {"features": features}})
        data = data.replace_schema_metadata({"huggingface": info})
    path.parent.mkdir(exist_ok=True)
    with pyarrow.OSFile(str(path), "wb") as file:
        with pyarrow.ipc.new_stream(file, data.schema) as writer:
            writer.write_table(data, max_chunksize=3)


def write(path, rows, format):
    if format == "csv":
        (path / "train.csv").write_bytes(to_csv(rows))
    elif format == "csv.gz":
        content = gzip.compress(to_csv(rows))
        (path / "my_train.csv.gz").write_bytes(content)
    elif format == "tsv":
        content = to_csv(rows, "\t", ";")
        (path / "train.tsv").write_bytes(content)
    elif format == "json":
        (path / "train.jsonl").write_bytes(to_json(rows))
    elif format == "parquet":
        to_parquet(rows, path / "train.parquet")
    elif format == "pieces":
        (path / "data").mkdir()
        to_parquet(rows[:1], path / "data" / "train-00000-of-00002.parquet")
        to_parquet(rows[1:], path / "data" / "train-00001-of-00002.parquet")
    elif format == "arrow":
        to_arrow(rows, path / "train" / "data-00000-of-00001.arrow")
        (path / "train" / "state.json").write_text("{}")
        (path / "dataset_dict.json").write_text('{"splits": ["train"]}')
    elif format == "one_arrow":
        to_arrow(rows, path / "data-00000-of-00001.arrow")
        (path / "state.json").write_text("{}")
        (path / "dataset_info.json").write_text("{}")
    return str(path)


FORMATS = (
    "csv",
    "csv.gz",
    "tsv",
    "json",
    "parquet",
    "pieces",
    "arrow",
    "one_arrow",
)


def rows_of(runs):
    runs = list(runs)
    texts = [text for run in runs for text in run.texts]
    ids = [
        row.tolist()
        for run in runs
        for row in np.split(run.label_ids, run.label_splits[1:-1])
        if run.num_instances
    ]
    return texts, ids


@pytest.mark.parametrize("format", FORMATS)
def test_texts_and_labels_by_name(tmp_path, format):
    found = folder.detect(write(tmp_path, ROWS, format))
    assert (found.num_features, found.num_labels) == (None, 4)
    assert found.label_names() == NAMES
    assert found.num_instances("train") == found.count_rows("train") == 4
    texts, ids = rows_of(found.read("train"))
    assert texts == [text for text, _ in ROWS]
    assert ids == IDS
    assert found.notes[0].startswith("text is read from text, labels from lab")
    for wanted in (range(1, 3), range(0, 1), range(3, 4), range(0)):
        texts, ids = rows_of(found.read("train", wanted=wanted))
        assert ids == [IDS[row] for row in wanted]
        assert texts == [ROWS[row][0] for row in wanted]


@pytest.mark.parametrize("format", FORMATS[:-1])
def test_many_rows_in_any_runs(tmp_path, format):
    rows = [(f"text {i}", [f"label {i % 37}"]) for i in range(2500)]
    found = folder.detect(write(tmp_path, rows, format))
    texts, ids = rows_of(found.read("train"))
    assert texts == [text for text, _ in rows]
    names = found.label_names()
    assert [[names[i] for i in row] for row in ids] == [r for _, r in rows]
    pieces = [
        rows_of(
            found.read("train", wanted=range(first, min(first + 613, 2500)))
        )
        for first in range(0, 2500, 613)
    ]
    assert sum((texts for texts, _ in pieces), []) == texts
    assert sum((ids for _, ids in pieces), []) == ids


@pytest.mark.parametrize("format", ["csv", "tsv"])
def test_csv_reads_as_pandas_does(tmp_path, format):
    write(tmp_path, ROWS, format)
    frame = pandas.read_csv(
        tmp_path / f"train.{format}",
        sep="\t" if format == "tsv" else ",",
        keep_default_na=False,
    )
    texts, _ = rows_of(folder.detect(str(tmp_path)).read("train"))
    assert texts == frame["text"].tolist()


@pytest.mark.parametrize(
    "header, text, label, note",
    [
        ("text,labels", "a", "x|y", "text is read from text, labels from lab"),
        ("Title,Tags", "a", "x|y", "text is read from Title, labels from Tags"),
        ("abstract,category", "a", "x|y", "abstract, labels from category"),
        (
            "content,keywords",
            "a",
            "x;y",
            "labels from keywords, separated by ';'",
        ),
        ("body,topics", "a", '"x, y"', "topics, separated by ','"),
        ("body,topics", "a", "x y", "labels from topics"),
        ("text,labels", "a", '"[""x"", ""y""]"', "labels from labels"),
        ("text,labels", "a", "\"['x', 'y']\"", "labels from labels"),
        ("text;labels", "a", "x|y", "separated by '|'"),
        ("text\tlabels", "a", "x|y", "separated by '|'"),
    ],
)
def test_columns_and_separators_are_chosen_and_told(
    tmp_path, header, text, label, note
):
    comma = next(c for c in ",;\t" if c in header)
    (tmp_path / "train.csv").write_text(f"{header}\n{text}{comma}{label}\n")
    found = folder.detect(str(tmp_path))
    assert note in found.notes[0]
    assert rows_of(found.read("train"))[0] == ["a"]
    one = "x y" in label
    assert found.label_names() == (["x y"] if one else ["x", "y"])


@pytest.mark.parametrize("format", ["csv", "json", "parquet"])
def test_columns_that_options_name(tmp_path, format):
    frame = pandas.DataFrame(
        {
            "head": ["a", "b"],
            "tail": ["c", ""],
            "text": ["not this", "nor this"],
            "genre": ["x / y", "y"],
            "gold": [0.5, 2],
        }
    )
    if format == "csv":
        frame.to_csv(tmp_path / "train.csv", index=False)
    elif format == "json":
        frame.to_json(tmp_path / "train.jsonl", orient="records", lines=True)
    else:
        frame.to_parquet(tmp_path / "train.parquet")
    options = read_options.ReadOptions(
        text_columns=("tail", "head"),
        label_column="genre",
        label_separator="/",
        weight_column="gold",
    )
    found = folder.detect(str(tmp_path), options)
    assert found.notes == (
        "text is read from tail and head, labels from genre, separated by "
        "'/', weights from gold",
    )
    (run,) = found.read("train")
    assert list(run.texts) == ["c a", "b"]
    assert found.label_names() == ["x", "y"]
    assert run.label_ids.tolist() == [0, 1, 1]
    assert run.weights.dtype == np.float32
    assert run.weights.tolist() == [0.5, 2]


@pytest.mark.parametrize("weight", ["", "-1", "nan", "inf", "1e99", "a"])
def test_a_bad_weight_is_named_or_skipped(tmp_path, weight):
    (tmp_path / "train.csv").write_text(
        f"text,labels,w\na,x,1\nb,x,{weight}\nc,x,0\n"
    )
    options = read_options.ReadOptions(weight_column="w")
    found = folder.detect(str(tmp_path), options)
    with pytest.raises(data_errors.RowError, match="train.csv:3: found weight"):
        list(found.read("train"))
    bad = bad_rows.BadRows("skip")
    (run,) = found.read("train", bad)
    assert (run.weights.tolist(), bad.total) == ([1, 0], 1)


@pytest.mark.parametrize(
    "lines, error",
    [
        (['{"utterance": "a", "labels": []}'], "the keys labels, utterance"),
        (['{"text": "a", "gold": []}'], "the keys gold, text"),
        (["[1]"], "'[1]'"),
        ([""], "no row"),
        (['{"text": "a", "labels": []}'], "no label in labels"),
    ],
)
def test_a_table_without_columns_or_labels_is_refused(tmp_path, lines, error):
    (tmp_path / "train.jsonl").write_text("\n".join(lines))
    with pytest.raises(data_errors.DataError) as caught:
        folder.detect(str(tmp_path))
    assert error in caught.value.found
    if "keys" in error:
        assert "--" in caught.value.needed


def test_an_array_of_json_is_recognised(tmp_path):
    objects = [{"text": text, "labels": labels} for text, labels in ROWS]
    for indent in (None, 1):
        content = json.dumps(objects, indent=indent)
        (tmp_path / "train.json").write_text(content)
        with pytest.raises(
            data_errors.DataError, match="train.json.*rather than one array"
        ):
            folder.detect(str(tmp_path))


GOOD_JSON = '{"text": "a", "labels": ["x"]}'


@pytest.mark.parametrize(
    "line, found",
    [
        ('{"text": "a"}', "no `labels` among the keys text"),
        ('{"labels": ["x"]}', None),
        ('{"body": "a", "labels": ["x"]}', None),
        ('{"text": 3, "labels": ["x"]}', "int as `text`"),
        ('{"text": "a", "labels": [1.5]}', "float in `labels`"),
        ('{"text": "a", "labels": [null]}', "null in `labels`"),
        ('{"text": "a", "labels": [true]}', "bool in `labels`"),
        ('{"text": "a", "labels": [""]}', "an empty label"),
        ('{"text": "a", "labels": {"x": 1}}', "dict as `labels`"),
        ('{"text": "a", "labels": ["\\ud800"]}', "half a surrogate pair"),
        ('{"text": "\\ud800", "labels": []}', "half a surrogate pair"),
        ('{"text": "a", "labels": null}', None),
        ("", "a blank line"),
    ],
)
def test_json_names_the_bad_line(tmp_path, line, found):
    lines = "\n".join([GOOD_JSON, GOOD_JSON, line, GOOD_JSON])
    (tmp_path / "train.jsonl").write_text(lines)
    data = folder.detect(str(tmp_path))
    assert data.num_instances("train") == 4
    if found is None:
        assert len(rows_of(data.read("train"))[0]) == 4
        return
    with pytest.raises(data_errors.RowError) as caught:
        list(data.read("train"))
    assert caught.value.line == 3
    assert found in caught.value.found
    bad = bad_rows.BadRows("skip")
    assert rows_of(data.read("train", bad))[1] == [[0]] * 3
    assert bad.total == 1


@pytest.mark.parametrize(
    "line, keys",
    [
        ('{"body": "a", "labels": ["x"]}', "body, labels"),
        ('{"text": "a", "body": "b", "labels": []}', "body, labels, text"),
        ('{"speech": "a", "labels": ["x"]}', "labels, speech"),
    ],
)
def test_text_under_a_key_that_comes_late_is_not_lost(tmp_path, line, keys):
    lines = [GOOD_JSON] * 1500
    lines[1200] = line
    (tmp_path / "train.jsonl").write_text("\n".join(lines))
    found = folder.detect(str(tmp_path))
    with pytest.raises(data_errors.RowError) as caught:
        list(found.read("train"))
    assert caught.value.line == 1201
    assert caught.value.found.endswith(f"among the keys {keys}")
    assert "--text_columns" in caught.value.needed


@pytest.mark.parametrize(
    "row, found",
    [
        (b"a", "1 cells"),
        (b"a,x,y", "3 cells"),
        (b'a,"x', "unexpected end of data"),
        (b'"a"b,x', "','"),
        (b"\xff,x", r"\xff"),
        (b"a,\xe9", r"\xe9"),
        (b'a,"x\n\n"', None),
        (b"a,", None),
        (b',"[1, 2]"', None),
        (b"\n\n,x", None),
    ],
)
def test_csv_names_the_line_where_a_bad_row_starts(tmp_path, row, found):
    lines = [b"text,labels", b'"b\nb",x', row]
    (tmp_path / "train.csv").write_bytes(b"\n".join(lines) + b"\n")
    data = folder.detect(str(tmp_path))
    if found is None:
        assert len(rows_of(data.read("train"))[0]) == 2
        return
    with pytest.raises(data_errors.RowError) as caught:
        list(data.read("train"))
    assert (caught.value.line, caught.value.row) == (4, 1)
    assert found in caught.value.found
    bad = bad_rows.BadRows("skip")
    assert rows_of(data.read("train", bad)) == (["b\nb"], [[0]])
    assert bad.total == 1


@pytest.mark.parametrize(
    "content, found",
    [
        (b"", "no line"),
        (b"text,labels\n", "no row"),
        (b"text,text,labels\na,b,c\n", "columns of the same name, text"),
        (b"a,b\nc,d\n", "the keys a, b"),
        (b"a text and no comma\nb\n", "the keys a text and no comma"),
        (b'"text\n', "unexpected end of data"),
    ],
)
def test_csv_without_a_header_is_refused(tmp_path, content, found):
    (tmp_path / "train.csv").write_bytes(content)
    with pytest.raises(data_errors.DataError) as caught:
        folder.detect(str(tmp_path))
    assert found in caught.value.found


def test_a_long_cell_is_read(tmp_path):
    text = "word " * 100_000
    (tmp_path / "train.csv").write_text(f"text,labels\n{text},x\n")
    texts, _ = rows_of(folder.detect(str(tmp_path)).read("train"))
    assert texts == [text]


def test_labels_that_training_never_had_are_counted_and_left_out(tmp_path):
    train = to_json([("a", ["x", "y"])])
    test = to_json([("b", ["z", "x"]), ("c", ["z"]), ("d", ["w"])])
    (tmp_path / "train.jsonl").write_bytes(train)
    (tmp_path / "test.jsonl").write_bytes(test)
    found = folder.detect(str(tmp_path))
    assert found.label_names() == ["x", "y"]
    assert rows_of(found.read("test"))[1] == [[0], [], []]
    assert found.notes[1] == (
        "test names 2 labels that training never had, 3 times; they are left "
        "out: w, z"
    )


def test_labels_are_in_order_and_numbers_by_value(tmp_path):
    rows = [("a", [10, 9]), ("b", ["100", 9])]
    (tmp_path / "train.jsonl").write_bytes(to_json(rows))
    found = folder.detect(str(tmp_path))
    assert found.label_names() == ["9", "10", "100"]
    assert rows_of(found.read("train"))[1] == [[0, 1], [0, 2]]


@pytest.mark.parametrize(
    "labels, ids",
    [
        (["law", "fish"], [0, 1]),
        ([0, 1], [0, 1]),
        (["1"], [1]),
        (["nobody"], None),
        ([2], None),
    ],
)
def test_a_file_of_names_beside_says_all_labels(tmp_path, labels, ids):
    (tmp_path / "labels.txt").write_text("fish\nlaw\n")
    (tmp_path / "train.jsonl").write_bytes(to_json([("a", labels)]))
    found = folder.detect(str(tmp_path))
    assert found.label_names() == ["fish", "law"]
    if ids is None:
        with pytest.raises(data_errors.RowError, match="a label named in"):
            list(found.read("train"))
        return
    assert rows_of(found.read("train"))[1] == [ids]


@pytest.mark.parametrize(
    "feature",
    [
        {"_type": "List", "feature": {"_type": "ClassLabel", "names": NAMES}},
        {
            "_type": "Sequence",
            "feature": {"_type": "ClassLabel", "names": NAMES},
        },
        [{"_type": "ClassLabel", "names": NAMES}],
    ],
)
def test_class_labels_of_hugging_face(tmp_path, feature):
    rows = [("a", [3, 0]), ("b", [])]
    path = tmp_path / "train" / "data-00000-of-00001.arrow"
    to_arrow(rows, path, {"labels": feature})
    found = folder.detect(str(tmp_path))
    assert found.label_names() == NAMES
    assert rows_of(found.read("train")) == (["a", "b"], [[0, 3], []])
    to_arrow([("a", [4])], path, {"labels": feature})
    with pytest.raises(data_errors.RowError, match="label id 4"):
        list(folder.detect(str(tmp_path)).read("train"))


@pytest.mark.parametrize("size", [0, 3, 100, -40, -1])
@pytest.mark.parametrize("format", ["parquet", "arrow"])
def test_a_binary_file_that_was_cut_is_refused(tmp_path, format, size):
    write(tmp_path, [(f"{i}", ["x"]) for i in range(3000)], format)
    (path,) = [*tmp_path.glob("*.parquet"), *tmp_path.glob("*/*.arrow")]
    content = path.read_bytes()
    path.write_bytes(content[:size])
    if (format, size) == ("arrow", -1):
        return  # the mark of the end, of which nothing is missed
    with pytest.raises(data_errors.DataError) as caught:
        list(folder.detect(str(tmp_path)).read("train"))
    assert caught.value.path == str(path)


def test_pieces_must_have_the_same_columns_and_be_all_there(tmp_path):
    write(tmp_path, ROWS, "pieces")
    path = tmp_path / "data" / "train-00001-of-00002.parquet"
    frame = pandas.read_parquet(path).rename(columns={"labels": "tags"})
    frame.to_parquet(path)
    with pytest.raises(data_errors.DataError, match="needed labels too"):
        folder.detect(str(tmp_path))
    path.unlink()
    with pytest.raises(data_errors.DataError, match="found 1 files like"):
        folder.detect(str(tmp_path))


@pytest.mark.parametrize("name", ["labels", "text"])
def test_parquet_rows_that_are_bad_are_named(tmp_path, name):
    table = {"text": ["a", "b"], "labels": [["x"], ["y"]]}
    table[name] = [1, 2] if name == "text" else [["x"], [""]]
    pandas.DataFrame(table).to_parquet(tmp_path / "train.parquet")
    found = folder.detect(str(tmp_path))
    row = 0 if name == "text" else 1
    with pytest.raises(data_errors.RowError, match=rf"row {row} \(from 0\)"):
        list(found.read("train"))


def test_options_of_tables_are_none_of_other_formats(tmp_path):
    (tmp_path / "train.txt").write_text("1 2 2\n0 1:1\n")
    options = read_options.ReadOptions(label_column="tags")
    with pytest.raises(ValueError, match="`label_column` must be left out"):
        folder.detect(str(tmp_path), options)
    (tmp_path / "train.txt").unlink()
    (tmp_path / "train.csv").write_bytes(to_csv(ROWS))
    options = read_options.ReadOptions(one_based="yes")
    with pytest.raises(ValueError, match="data of format csv_table"):
        folder.detect(str(tmp_path), options)
    options = read_options.ReadOptions(label_column="tags")
    with pytest.raises(data_errors.DataError, match="needed `tags`"):
        folder.detect(str(tmp_path), options)


def test_count_rows_counts_bad_ones(tmp_path):
    path = tmp_path / "train.csv"
    path.write_text("text,labels\na,b\nc\n\nd,e\n")
    assert csv_table.count_rows(str(path)) == 3


@pytest.mark.parametrize("format", ["parquet", "arrow"])
def test_without_pyarrow_the_extra_is_named(tmp_path, monkeypatch, format):
    write(tmp_path, ROWS, format)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(
        data_errors.DataError, match=r'pip install "tfxml\[parquet\]"'
    ):
        folder.detect(str(tmp_path))


@pytest.mark.parametrize("format", ["csv", "json", "parquet", "arrow"])
def test_a_file_is_never_held_whole(tmp_path, format):
    rows = [(f"{i} " + "word " * 200, [f"label {i % 9}"]) for i in range(12000)]
    write(tmp_path, rows, format)
    del rows
    found = folder.detect(str(tmp_path))
    tracemalloc.start()
    number = sum(run.num_instances for run in found.read("train"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert number == 12000
    assert peak < 8e6  # of 12 MB of text
