"""JSON lines, filter pairs and names against files by hand."""

import gzip
import json

import numpy as np
import pytest

from tfxml.data import data_errors
from tfxml.data.formats import (
    filter_labels,
    json_lines,
    label_names,
    label_space,
)

LINES = [
    {"uid": "a", "title": "Café", "content": "in Köln", "target_ind": [3, 1]},
    {"uid": "b", "title": "only\u2028title", "target_ind": []},
    {"uid": "c", "title": None, "content": "only content", "target_ind": [0]},
    {"title": "", "content": "", "target_ind": [2, 2], "target_rel": [1, 1]},
    {"target_ind": [4]},
]


def encode(lines, **arguments):
    return "".join(json.dumps(x, **arguments) + "\n" for x in lines).encode()


@pytest.mark.parametrize("chunk_bytes", [1, 60, 1 << 20])
@pytest.mark.parametrize("is_ascii", [False, True])
def test_by_hand(tmp_path, chunk_bytes, is_ascii):
    content = encode(LINES, ensure_ascii=is_ascii)
    (tmp_path / "trn.json").write_bytes(
        b"\xef\xbb\xbf" + content.replace(b"\n", b"\r\n") + b"\n \n"
    )
    (tmp_path / "trn.json.gz").write_bytes(gzip.compress(content))
    for name in ("trn.json", "trn.json.gz"):
        runs = list(
            json_lines.read(
                str(tmp_path / name),
                space=label_space.Ids(5),
                chunk_bytes=chunk_bytes,
            )
        )
        assert [text for run in runs for text in run.texts] == [
            "Café in Köln",
            "only\u2028title",
            "only content",
            "",
            "",
        ]
        sets = [
            ids.tolist()
            for run in runs
            for ids in np.split(run.label_ids, run.label_splits[1:-1])
        ]
        assert sets == [[1, 3], [], [0], [2], [4]]
        assert {run.label_ids.dtype for run in runs} == {np.dtype("int32")}
        assert len(runs) == (5 if chunk_bytes == 1 else len(runs))


@pytest.mark.parametrize(
    "line, found",
    [
        ('{"title": "a", "target_ind": [1]', "(Expecting"),
        ("nonsense", "'nonsense' (Expecting"),
        ("[1, 2]", "'[1, 2]'"),
        ('"text"', "text"),
        ('{"title": "a"}', "no `target_ind` among the keys title"),
        ('{"title": "a", "target_ind": null}', "null as `target_ind`"),
        ('{"target_ind": {"1": 1}}', "dict as `target_ind`"),
        ('{"target_ind": 1}', "int as `target_ind`"),
        ('{"target_ind": [1.0]}', "float in `target_ind`"),
        ('{"target_ind": ["1"]}', "str in `target_ind`"),
        ('{"target_ind": [0, true]}', "bool in `target_ind`"),
        ('{"target_ind": [NaN]}', "float in `target_ind`"),
        ('{"target_ind": [[1]]}', "list in `target_ind`"),
        ('{"target_ind": [0, -1]}', "label id -1"),
        ('{"target_ind": [5]}', "label id 5"),
        ('{"target_ind": [99999999999999999999]}', "label id 99999999999"),
        ('{"target_ind": [%s]}' % ("9" * 5000), "target_ind"),
        ('{"title": 3, "target_ind": []}', "int as `title`"),
        ('{"content": ["a"], "target_ind": []}', "list as `content`"),
        ('{"title": "\\ud800", "target_ind": []}', "half a surrogate pair"),
        (
            '{"title": "a", "text": "b", "target_ind": []}',
            "text under text, among the keys target_ind, text, title",
        ),
        ('{"utterance": "b", "target_ind": []}', "text under utterance"),
        ("[" * 100_000, "[[[["),
        ("", "a blank line"),
        (b'{"title": "\xff\xfe", "target_ind": []}', r"\xff\xfe"),
    ],
)
def test_names_the_bad_line(tmp_path, line, found):
    path = tmp_path / "trn.json"
    line = line if isinstance(line, bytes) else line.encode()
    good = b'{"target_ind": [4]}\n'
    path.write_bytes(good * 2 + line + b"\n" + good)
    for chunk_bytes in (20, 1 << 20):
        with pytest.raises(data_errors.DataError) as caught:
            list(
                json_lines.read(
                    str(path),
                    space=label_space.Ids(5),
                    chunk_bytes=chunk_bytes,
                )
            )
        assert (caught.value.path, caught.value.line) == (str(path), 3)
        assert found in caught.value.found


def test_labels_without_a_known_number(tmp_path):
    path = tmp_path / "trn.json"
    path.write_text('{"target_ind": [2147483646]}')
    (run,) = json_lines.read(str(path))
    assert run.label_ids.tolist() == [2**31 - 2]
    path.write_text('{"target_ind": [2147483647]}')
    with pytest.raises(data_errors.DataError, match="label id 2147483647"):
        list(json_lines.read(str(path)))


def test_surrogate_pair_is_one_character(tmp_path):
    path = tmp_path / "trn.json"
    path.write_text('{"title": "\\ud83d\\ude00", "target_ind": []}')
    assert next(json_lines.read(str(path))).texts == ["\U0001f600"]


def test_read_names(tmp_path):
    path = tmp_path / "lbl.json.gz"
    lines = [{"uid": "7", "title": "Köln"}, {"uid": "8", "title": ""}]
    path.write_bytes(gzip.compress(encode([*lines, {"uid": "9"}])))
    assert json_lines.read_names(str(path)) == ["Köln", "8", "9"]
    path.write_bytes(gzip.compress(encode([*lines, {"title": ""}])))
    with pytest.raises(
        data_errors.DataError, match=":3: found a label without"
    ):
        json_lines.read_names(str(path))


def test_filter_labels(tmp_path):
    path = tmp_path / "filter_labels_test.txt"
    path.write_bytes(b"0 12\r\n3\t4 \n\n 999999999999 0")
    read = filter_labels.read(str(path))
    assert read.tolist() == [[0, 12], [3, 4], [999999999999, 0]]
    path.write_bytes(b"")
    read = filter_labels.read(str(path))
    assert read.shape == (0, 2) and read.dtype == np.int64


@pytest.mark.parametrize(
    "line", ["1", "1 2 3", "-1 2", "1.0 2", "1,2", "a b", "1 " + "9" * 19]
)
def test_filter_labels_names_the_bad_line(tmp_path, line):
    path = tmp_path / "filter_labels_test.txt"
    path.write_text(f"1 2\n\n{line}\n3 4\n")
    with pytest.raises(
        data_errors.DataError, match=f"{path}:3: found '{line[:9]}"
    ):
        filter_labels.read(str(path))


def test_names(tmp_path):
    path = tmp_path / "labels.txt"
    path.write_bytes("a b\r\n\nKöln\n".encode())
    assert label_names.read(str(path)) == ["a b", "", "Köln"]
    path.write_bytes("a\nKöln\n".encode("latin-1"))
    with pytest.raises(
        data_errors.DataError, match=r"labels.txt:2: found the byt"
    ):
        label_names.read(str(path))
