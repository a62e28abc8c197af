"""MULAN's ARFF files against SciPy's reader, and by hand, good and broken."""

import gzip
import io

import numpy as np
import pytest
import scipy.io.arff

from tfxml.data import bad_rows, data_errors, instances
from tfxml.data.formats import folder, mulan_arff

HEAD = """\
% a comment
@relation 'toy: a set'

@attribute length numeric
@ATTRIBUTE 'has a ''space'' no' {0,1}
@attribute\tcolour {red, 'dark green', blue}
@attribute law {0,1}
@attribute fish {0, 1}
@data
""".replace("''", "\\'")
DENSE = """\
1.5,1,red,0,1
0,0,'dark green',1,1
% nothing
-2e1,1,blue,0,0
?,?,?,1,0
"""
SPARSE = """\
{0 1.5, 1 1, 4 1}
{2 'dark green',3 1,4 1}

{0 -2e1,1 1,2 blue}
{ 0 ?, 3 1 }
"""
XML = """<?xml version="1.0" encoding="utf-8"?>
<labels xmlns="http://mulan.sourceforge.net/labels">
<label name="fish"><label name="law"></label></label>
</labels>
"""
LABELS = [[0], [0, 1], [], [1]]  # fish is the first
FEATURES = [{0: 1.5, 1: 1}, {2: 1}, {0: -20, 1: 1, 3: 1}, {}]


def rows_of(runs):
    run = instances.concatenate(runs)
    rows = zip(
        np.split(run.feature_ids, run.feature_splits[1:-1]),
        np.split(run.feature_values, run.feature_splits[1:-1]),
        strict=True,
    )
    labels = np.split(run.label_ids, run.label_splits[1:-1])
    return (
        [ids.tolist() for ids in labels],
        [dict(zip(i.tolist(), v.tolist(), strict=True)) for i, v in rows],
    )


@pytest.mark.parametrize("rows", [DENSE, SPARSE, DENSE[:-1]])
@pytest.mark.parametrize(
    "name, xml_name, change",
    [
        ("toy-train.arff", "toy.xml", str),
        ("train.arff", "labels.xml", str),
        ("toy-train.arff.gz", "toy.xml", str),
        ("train.arff", "a.xml", lambda text: text.replace("\n", "\r\n")),
        ("train.arff", "a.xml", lambda text: "\ufeff" + text),
        ("train.arff", "a.xml", lambda text: text.replace("numeric", "REAL")),
        ("train.arff", "a.xml", lambda text: text.replace("@data", "@DATA ")),
    ],
    ids=range(7),
)
def test_by_hand(tmp_path, rows, name, xml_name, change):
    content = change(HEAD + rows).encode()
    content = gzip.compress(content) if name.endswith("gz") else content
    (tmp_path / name).write_bytes(content)
    (tmp_path / xml_name).write_text(XML)
    found = folder.detect(str(tmp_path))
    assert (found.format, found.num_features) == ("mulan_arff", 4)
    assert found.label_names() == ["fish", "law"]
    assert found.num_instances("train") == 4
    assert rows_of(found.read("train")) == (LABELS, FEATURES)
    for first, last in ((0, 1), (1, 3), (2, 4)):
        labels, features = rows_of(
            found.read("train", wanted=range(first, last))
        )
        assert labels == LABELS[first:last]
        assert features == FEATURES[first:last]


@pytest.mark.parametrize(
    "option, names, num_features",
    [
        ("-C 1", ["length"], 5),
        ("-C -2", ["law", "fish"], 4),
        ("-c -1", ["fish"], 5),
    ],
)
def test_the_labels_of_meka_are_counted(tmp_path, option, names, num_features):
    head = HEAD.replace("toy: a set", f"toy: {option} -split-percentage 50")
    rows = DENSE.replace("1.5", "1").replace("-2e1", "1").replace("?", "0", 1)
    (tmp_path / "train.arff").write_text(head + rows)
    found = folder.detect(str(tmp_path))
    assert found.label_names() == names
    assert found.num_features == num_features
    labels, _ = rows_of(found.read("train"))
    columns = [line.split(",") for line in rows.split("\n") if "," in line]
    places = {"length": 0, "law": 3, "fish": 4}
    assert labels == [
        [i for i, name in enumerate(names) if cells[places[name]] == "1"]
        for cells in columns
    ]


def test_the_xml_of_the_files_name_is_taken_among_several(tmp_path):
    (tmp_path / "toy-train.arff").write_text(HEAD + DENSE)
    for name in ("toy.xml", "other.xml"):
        label = "law" if name == "toy.xml" else "none"
        (tmp_path / name).write_text(
            f"<labels><label name='{label}'/></labels>"
        )
    assert folder.detect(str(tmp_path)).label_names() == ["law"]
    (tmp_path / "toy.xml").rename(tmp_path / "third.xml")
    with pytest.raises(data_errors.DataError, match="one XML file, or one who"):
        folder.detect(str(tmp_path))


def test_against_scipy(tmp_path):
    rng = np.random.default_rng(0)
    cells = rng.normal(size=(700, 30)).round(3)
    cells[rng.random(cells.shape) < 0.5] = 0
    labels = rng.integers(0, 2, (700, 5))
    lines = ["@relation r"]
    lines += [f"@attribute f{i} numeric" for i in range(30)]
    lines += [f"@attribute l{i} {{0,1}}" for i in range(5)]
    lines += ["@data"]
    for x, y in zip(cells, labels, strict=True):
        lines.append(",".join([*map(repr, x.tolist()), *map(str, y.tolist())]))
    text = "\n".join(lines) + "\n"
    (tmp_path / "train.arff").write_text(text)
    names = "".join(f'<label name="l{i}"/>' for i in range(5))
    (tmp_path / "r.xml").write_text(f"<labels>{names}</labels>")
    theirs, _ = scipy.io.arff.loadarff(io.StringIO(text))
    run = instances.concatenate(folder.detect(str(tmp_path)).read("train"))
    read = np.zeros((700, 30), np.float32)
    rows = np.repeat(np.arange(700), np.diff(run.feature_splits))
    read[rows, run.feature_ids] = run.feature_values
    needed = np.array([[row[f"f{i}"] for i in range(30)] for row in theirs])
    np.testing.assert_array_equal(read, needed.astype(np.float32))
    found = np.zeros((700, 5), int)
    found[
        np.repeat(np.arange(700), np.diff(run.label_splits)), run.label_ids
    ] = 1
    needed = [[row[f"l{i}"] == b"1" for i in range(5)] for row in theirs]
    np.testing.assert_array_equal(found, np.array(needed, int))


@pytest.mark.parametrize(
    "row, found",
    [
        ("1,0,red,0", "4 values"),
        ("1,0,red,0,1,1", "6 values"),
        ("1,0,red,0,1,", "a comma at the end"),
        ("x,0,red,0,1", "value 'x'"),
        ("nan,0,red,0,1", "value 'nan'"),
        ("1e999,0,red,0,1", "value '1e999'"),
        ("1e39,0,red,0,1", "value 1e+39 of feature 0"),
        ("1,2,red,0,1", "value '2'"),
        ("1,0,pink,0,1", "value 'pink'"),
        ("1,0,'red,0,1", '"\'red,0,1"'),
        ("1,0,red,2,1", "value 2 of a label"),
        ("1,0,red,?,1", "value '?'"),
        ("{5 1}", "attribute 5"),
        ("{0 1, 0 2}", "attribute 0"),
        ("{0 1, 1}", "' 1'"),
        ("{0 1, 1 1", "'{0 1, 1 1'"),
        ("{-1 1}", "'-1 1'"),
    ],
)
def test_a_bad_row_is_named_or_skipped(tmp_path, row, found):
    (tmp_path / "train.arff").write_text(HEAD + DENSE + row + "\n" + SPARSE)
    (tmp_path / "a.xml").write_text(XML)
    data = folder.detect(str(tmp_path))
    with pytest.raises(data_errors.RowError) as caught:
        list(data.read("train"))
    assert (caught.value.line, caught.value.row) == (15, 4)
    assert found in caught.value.found
    bad = bad_rows.BadRows("skip")
    labels, features = rows_of(data.read("train", bad))
    assert (labels, features) == (LABELS * 2, FEATURES * 2)
    assert bad.total == 1


@pytest.mark.parametrize(
    "old, new, line, found",
    [
        ("numeric", "string", 4, "type 'string' of length"),
        ("numeric", "date 'yyyy'", 4, "type"),
        ("length numeric", "length", 4, "'length'"),
        ("length numeric", "'length numeric", 4, "the name and type"),
        ("@data", "@date", 9, "'@date'"),
        ("@data", "", 10, "'1.5,1,red,0,1'"),
        ("@attribute law {0,1}", "@attribute law {1,0}", None, "label 'law'"),
        (
            "@attribute law {0,1}",
            "@attribute laws {0,1}",
            None,
            "attribute 'law'",
        ),
        ("{0, 1}", "{0, 1", 8, "type '{0, 1'"),
    ],
)
def test_a_bad_head_is_named(tmp_path, old, new, line, found):
    (tmp_path / "train.arff").write_text((HEAD + DENSE).replace(old, new))
    (tmp_path / "a.xml").write_text(XML)
    with pytest.raises(data_errors.DataError) as caught:
        folder.detect(str(tmp_path))
    assert caught.value.line == line
    assert caught.value.path == str(tmp_path / "train.arff")
    assert found in str(caught.value)


BOMB = '<!DOCTYPE a [<!ENTITY b "cc">]><labels><label name="&b;"/></labels>'


@pytest.mark.parametrize(
    "content, found",
    [
        ("", "no element found"),
        ("<labels>", "no element found"),
        ("<labels></labels>", "0 labels"),
        ("<labels><label/></labels>", "1 labels"),
        (
            "<labels><label name='law'/><label name='law'/></labels>",
            "2 labels, 1 of them",
        ),
        (BOMB, "a document type"),
        (XML.replace("law", "law &"), "not well-formed"),
        (None, "no XML file beside it"),
    ],
)
def test_a_bad_xml_is_named(tmp_path, content, found):
    (tmp_path / "train.arff").write_text(HEAD + DENSE)
    if content is not None:
        (tmp_path / "a.xml").write_text(content)
    with pytest.raises(data_errors.DataError) as caught:
        folder.detect(str(tmp_path))
    name = "train.arff" if content is None else "a.xml"
    assert caught.value.path == str(tmp_path / name)
    assert found in caught.value.found


def test_splits_must_have_the_same_attributes(tmp_path):
    (tmp_path / "train.arff").write_text(HEAD + DENSE)
    head = HEAD.replace("@attribute length numeric\n", "")
    (tmp_path / "test.arff").write_text(head)
    (tmp_path / "a.xml").write_text(XML)
    with pytest.raises(data_errors.DataError, match="the same in all splits"):
        folder.detect(str(tmp_path))


def test_rows_come_in_bounded_runs(tmp_path):
    (tmp_path / "train.arff").write_text(HEAD + DENSE * 400)
    (tmp_path / "a.xml").write_text(XML)
    runs = list(folder.detect(str(tmp_path)).read("train"))
    assert max(run.num_instances for run in runs) == mulan_arff.ROWS_PER_RUN
    assert sum(run.num_instances for run in runs) == 1600
