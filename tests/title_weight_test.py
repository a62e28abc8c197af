"""Titles that are read several times, in training and in requests."""

import json

import numpy as np
import pandas
import pytest
import runs

from tfxml import config as config_lib
from tfxml import prepare
from tfxml.data import data_errors, requests
from tfxml.data.formats import folder, read_options
from tfxml.run import datasets, train_and_evaluate
from tfxml.serving import request_bodies

THRICE = read_options.ReadOptions(title_weight=3)
ROWS = {
    "title": ["a", "b", ""],
    "abstract": ["c d", "", "e"],
    "labels": ["x|y", "y", "x|y"],
}


def _write(path, format):
    frame = pandas.DataFrame(ROWS)
    if format == "csv":
        frame.to_csv(path / "train.csv", index=False)
    elif format == "parquet":
        frame.to_parquet(path / "train.parquet")
    else:
        frame["labels"] = [labels.split("|") for labels in frame["labels"]]
        frame.to_json(path / "train.jsonl", orient="records", lines=True)


@pytest.mark.parametrize("format", ["csv", "json", "parquet"])
def test_tables(tmp_path, format):
    _write(tmp_path, format)
    found = folder.detect(str(tmp_path), THRICE)
    assert found.notes[0].startswith(
        "text is read from title (3 times) and abstract, labels from labels"
    )
    (run,) = found.read("train")
    assert list(run.texts) == ["a a a c d", "b b b", "e"]
    assert found.has_titles
    assert folder.detect(str(tmp_path)).has_titles


def test_lf_lines(tmp_path):
    row = {"uid": "1", "title": "a", "content": "b c", "target_ind": [0]}
    (tmp_path / "trn.json").write_text(json.dumps(row) + "\n")
    (tmp_path / "lbl.json").write_text('{"uid": "0", "title": "x"}\n')
    for options, expected in ((THRICE, "a a a b c"), (None, "a b c")):
        found = folder.detect(str(tmp_path), options or read_options.DEFAULTS)
        (run,) = found.read("train")
        assert list(run.texts) == [expected]
        assert found.has_titles
        assert bool(found.notes) == bool(options)


@pytest.mark.parametrize("column", ["title", "abstract"])
def test_a_title_must_stand_beside_other_text(tmp_path, column):
    frame = pandas.DataFrame({name: ROWS[name] for name in (column, "labels")})
    frame.to_csv(tmp_path / "train.csv", index=False)
    assert not folder.detect(str(tmp_path)).has_titles
    with pytest.raises(data_errors.DataError, match="--title_weight=3"):
        folder.detect(str(tmp_path), THRICE)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"title": "a", "content": "b c"}, "a a a b c"),
        ({"content": "b", "title": "a"}, "a a a b"),
        ({"title": "a", "content": None}, "a a a"),
        ({"title": "", "content": "b"}, "b"),
        ({"title": "a"}, "a a a"),
        ({"text": "a b c"}, "a b c"),
    ],
)
def test_requests_read_titles_as_training_did(row, expected):
    (read,) = requests.read([json.dumps(row)], "in", 9, True, title_weight=3)
    assert read.text == expected
    body = json.dumps({"instances": [row]}).encode()
    (asked,) = request_bodies.parse(body, 9, 5, 9, True, 3).instances
    assert asked.text == expected


def test_a_run_predicts_as_it_was_trained(tmp_path):
    """On the command line, with and without TensorFlow."""
    data = tmp_path / "data"
    data.mkdir()
    rng = np.random.default_rng(0)
    words = rng.integers(0, 9, (60, 4))
    rows = [
        {
            "title": f"word{row[0]}",
            "content": " ".join(f"word{word}" for word in row[1:]),
            "labels": [f"label{row[0]}"],
        }
        for row in words
    ]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (data / "train.jsonl").write_text(lines)
    config = config_lib.Config(
        head="centroid", min_df=1, title_weight=3, centroid_features=9
    )
    run = tmp_path / "run"
    train_and_evaluate.train(config, str(run), str(data))
    asked = [
        {"title": "word1", "content": "word2 word3"},
        {"text": "word1 word1 word1 word2 word3"},
        {"text": "word1 word2 word3"},
    ]
    given = "".join(json.dumps(row) + "\n" for row in asked)
    for runtime in ("cpu", "tensorflow"):
        output = runs.run(
            runs.command(
                "tfxml.predict",
                f"--workdir={run}",
                f"--runtime={runtime}",
            ),
            stdin=given,
        )
        parted, joined, once = map(json.loads, output.splitlines())
        assert parted["scores"] == joined["scores"]
        assert parted["scores"] != once["scores"]
    # What is prepared must be said where it is trained on.
    out = str(tmp_path / "out")
    prepare.prepare(config, str(data), out)
    assert datasets.training_data(config, out).facts.num_features == 9
    with pytest.raises(ValueError, match="`title_weight` must be as the data"):
        datasets.training_data(config.replace(title_weight=1), out)
