"""The command that predicts: a line for a line, and no file that is lost."""

import json
import os
import pathlib
import subprocess

import pytest
import runs
import tensorflow as tf

from tfxml import config as config_lib
from tfxml.data import data_errors, requests
from tfxml.run import (
    answers,
    numpy_predictor,
    request_answers,
    request_predictor,
    restore,
    set_choices,
    train_and_evaluate,
)

CONFIG = config_lib.Config(
    hidden_units=(), min_df=1, batch_size=8, num_epochs=1, dropout=0.0
)


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    base = tmp_path_factory.mktemp("predict")
    data = base / "data"
    data.mkdir()
    names = ["a\u2028b", "\u00e4", "c", "d", "e", "f"]
    (data / "lbl.json").write_text(
        "".join(json.dumps({"title": name}) + "\n" for name in names)
    )
    rows = [
        {"title": f"word{i % 6} all", "target_ind": [i % 6]} for i in range(24)
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    for split in ("trn", "tst"):
        (data / f"{split}.json").write_text(text)
    train_and_evaluate.train(CONFIG, str(base / "run"), str(data))
    return base / "run"


@pytest.fixture(scope="module")
def run(workdir):
    return restore.restore(str(workdir), tf.distribute.get_strategy())


@pytest.fixture(scope="module", params=["restored", "without TensorFlow"])
def predictor(request, workdir, run):
    if request.param == "restored":
        return request_predictor.RequestPredictor(run, 3, "cpu")
    return numpy_predictor.open_run(
        str(workdir), "auto", lambda _: set_choices.SetChoice(k=3), True
    )


def test_the_command_needs_no_tensorflow(workdir):
    lines = '{"text": "word1 all"}\n{"feature_ids": [1]}\n'
    words = ["tfxml.predict", f"--workdir=file://{workdir}"]
    code, output, errors, imported = runs.with_imports(*words, stdin=lines)
    assert (code, errors) == (0, "")
    assert not {"tensorflow", "keras", "sklearn", "pandas"} & set(imported)
    plain = json.loads(output.splitlines()[0])
    # A text that Python may read in another way than TensorFlow, with a word
    # that the model does not know.
    code, output, errors, imported = runs.with_imports(
        *words, stdin='{"text": "word1 all \u4e00"}\n'
    )
    assert (code, errors) == (0, "") and "tensorflow" in imported
    found = json.loads(output)
    assert found["label_ids"] == plain["label_ids"]
    assert found["scores"] == pytest.approx(plain["scores"], abs=2e-6)


def _answered(predictor, lines, is_skipping=False, batch_size=4):
    """Returns the answers, and the error after them."""
    read = requests.read(lines, "in", 7, True, is_skipping)
    found = []
    try:
        for line in request_answers.predict_lines(predictor, read, batch_size):
            assert line.endswith("\n") and len(line.splitlines()) == 1
            found.append(json.loads(line))
    except data_errors.DataError as error:
        return found, error
    return found, None


GOOD = '{"text": "word1 all"}'


def test_a_string_is_a_request(predictor):
    texts = ["word1 all", "word2"]
    wanted = predictor.predict([requests.Request(text) for text in texts])
    assert predictor.predict(texts) == wanted


@pytest.mark.parametrize("batch_size", [1, 2, 3, 256])
def test_each_line_has_its_answer(predictor, batch_size):
    lines = [GOOD, "", '{"text": "word2", "uid": "\u2028x"}', "{", " ", GOOD]
    found, error = _answered(predictor, lines, True, batch_size)
    assert error is None
    assert [one.get("uid", one.get("line")) for one in found] == [
        *[1, 2, "\u2028x", 4, 5, 6]
    ]
    assert [len(one.get("label_ids", [])) for one in found] == [
        *[3, 0, 3, 0, 0, 3]
    ]
    assert found[3]["error"].startswith("in:4: found ")
    assert [one.get("empty", False) for one in found] == [
        *[False, True, False, False, True, False]
    ]


@pytest.mark.parametrize("batch_size", [1, 2, 3, 256])
def test_what_stands_before_a_bad_line_is_answered(predictor, batch_size):
    lines = [GOOD, GOOD, '{"text": "\\ud800"}', GOOD]
    found, error = _answered(predictor, lines, batch_size=batch_size)
    assert [one["line"] for one in found] == [1, 2]
    assert error.line == 3


@pytest.mark.parametrize(
    ("line", "is_empty"),
    [
        ('{"text": ""}', True),
        ('{"text": null}', True),
        ('{"text": "unknown words"}', True),
        ('{"feature_ids": []}', True),
        ('{"feature_ids": [1], "feature_values": [0]}', True),
        ('{"text": "word1"}', False),
        ('{"feature_ids": [1]}', False),
    ],
)
@pytest.mark.parametrize("runtime", ["cpu", "tensorflow"])
def test_an_answer_to_nothing_is_marked(run, line, is_empty, runtime):
    predictor = request_predictor.RequestPredictor(run, 3, runtime)
    found, _ = _answered(predictor, [GOOD, line, GOOD])
    assert [one.get("empty") for one in found] == [None, is_empty or None, None]
    assert all(len(one["label_ids"]) == 3 for one in found)


@pytest.mark.parametrize(
    "text", ["a\u2028b\u2029c\u0085d", "\ud800", "\U0001f600", "\x00\x1f\x7f"]
)
def test_what_is_written_is_one_line_of_json(text):
    line = answers.to_line({"label_names": [text]})
    assert line.encode() and len(line.splitlines()) == 1
    assert json.loads(line) == {"label_names": [text]}
    with pytest.raises(ValueError, match="JSON compliant"):
        answers.to_line({"scores": [float("nan")]})


def _links(kind, path):
    """Returns another name of the same file."""
    link = path.with_name("link")
    if kind == "symbolic":
        link.symlink_to(path)
    elif kind == "hard":
        os.link(path, link)
    elif kind == "dots":
        link = path.parent / "x" / ".." / path.name
        (path.parent / "x").mkdir()
    else:
        link = path
    return str(link)


@pytest.mark.parametrize("kind", ["same", "symbolic", "hard", "dots"])
def test_the_input_is_not_overwritten(kind, tmp_path):
    path = tmp_path / "a"
    path.write_text(GOOD)
    other = _links(kind, path)
    for pair in [(str(path), other), (other, str(path))]:
        with pytest.raises(ValueError, match="the same file"):
            answers.check_output(*pair)
    os.rename(path, tmp_path / "b.partial")
    with pytest.raises(ValueError, match="the same file"):
        answers.check_output(str(tmp_path / "b"), str(tmp_path / "b.partial"))
    answers.check_output(str(tmp_path / "c"), str(tmp_path / "b.partial"))
    assert (tmp_path / "b.partial").read_text() == GOOD


def test_an_output_is_whole_or_lies_beside(tmp_path, capsys):
    path = tmp_path / "out"
    path.write_text("old")
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(KeyError):
        with answers.sink(str(path)) as write:
            write("new\n")
            raise KeyError
    assert path.read_text() == "old"
    assert (tmp_path / "out.partial").read_text() == "new\n"
    assert "out.partial" in capsys.readouterr().err
    with answers.sink(str(tmp_path / "link")) as write:
        write("newer\n")
        assert path.read_text() == "old"
    assert path.read_text() == "newer\n"
    assert (tmp_path / "link").is_symlink()
    assert not (tmp_path / "out.partial").exists()


def test_a_full_disk_is_named():
    with pytest.raises(OSError, match="No space left.*'/dev/full'"):
        with answers.sink("/dev/full") as write:
            write("x" * 99)


def test_a_folder_is_no_output(tmp_path):
    with pytest.raises(ValueError, match="a folder"):
        answers.check_output(str(tmp_path), "-")


@pytest.mark.slow
def test_the_command(workdir, tmp_path):
    """Files and pipes; what a file holds is refused before it is touched."""
    words = runs.command("tfxml.predict", f"--workdir={workdir}")
    source, out = tmp_path / "in", tmp_path / "out"
    source.write_text(f"\ufeff{GOOD}\r\n\n[\n{GOOD}\n")
    runs.run(
        [*words, f"--input={source}", f"--output={out}", "--bad_rows=skip"]
    )
    lines = out.read_text().splitlines()
    assert [json.loads(line)["line"] for line in lines] == [1, 2, 3, 4]
    done = runs.finished([*words, f"--input={source}", f"--output={out}"])
    assert done.returncode == 1 and f"{source}:3: found " in done.stderr
    assert out.read_text().splitlines() == lines
    partial = pathlib.Path(f"{out}.partial").read_text()
    assert len(partial.splitlines()) == 2
    done = runs.finished([*words, f"--input={source}", f"--output={source}"])
    assert done.returncode == 1 and "the same file" in done.stderr
    assert source.read_text().count("\n") == 4


@pytest.mark.slow
@pytest.mark.slow
def test_standard_input_that_is_closed(workdir):
    words = " ".join(runs.command("tfxml.predict", f"--workdir={workdir}"))
    done = subprocess.run(
        f"{words} <&-", shell=True, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1
    assert "FATAL `input` must be a file" in done.stderr


def test_a_reader_that_goes_away_is_no_error(workdir, tmp_path):
    words = " ".join(runs.command("tfxml.predict", f"--workdir={workdir}"))
    source = tmp_path / "in"
    source.write_text(f"{GOOD}\n" * 50_000)
    done = subprocess.run(
        f"{words} --input={source} | head -1",
        shell=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert len(done.stdout.splitlines()) == 1
    for word in ("FATAL", "Traceback", "roken pipe"):
        assert word not in done.stderr
