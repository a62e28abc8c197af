"""Sealed files that say what nobody wrote: named, and never followed."""

import json
import os

import pytest

from tfxml import config as config_lib
from tfxml.data import atomic_files, checked_files, data_errors
from tfxml.run import early_checks, fitted_scores, manifest
from tfxml.training import checkpoint_folders

OUTSIDE = ["../x", "/x", "a/../../x", "", ".."]


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_manifest_names_no_file_elsewhere(name, tmp_path):
    digest = {"bytes": 0, "sha256": ""}
    path = tmp_path / "manifest.json"
    checked_files.write_sealed(path, {"files": {name: digest}})
    with pytest.raises(data_errors.DataError, match="a file called"):
        manifest.Manifest(tmp_path).names()


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_change_that_was_killed_writes_no_file_elsewhere(name, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    checked_files.write_sealed(folder / "manifest.json", {"files": {}})
    changes = {"texts": {"config.json": "{}", name: "x"}}
    checked_files.write_sealed(folder / ".changes.json", changes)
    with pytest.raises(data_errors.DataError, match="a file called"):
        manifest.mend(folder)
    assert sorted(path.name for path in tmp_path.rglob("*")) == [
        ".changes.json",
        "manifest.json",
        "run",
    ]


@pytest.mark.parametrize(
    "values", [{}, {"files": None}, {"files": 3}, {"files": [["a"]]}]
)
def test_a_manifest_without_files_is_named(values, tmp_path):
    path = tmp_path / "manifest.json"
    checked_files.write_sealed(path, values)
    with pytest.raises(data_errors.DataError) as error:
        manifest.Manifest(tmp_path).names()
    assert error.value.path == str(path)


FITTED = {
    "step": 3,
    "calibration": {
        "method": "platt",
        "slope": 2.0,
        "offset": 0.5,
        "knots": [],
        "values": [],
    },
    "thresholds": {"default": 0.5, "of_labels": [[7, 0.25]]},
    "report": {
        "num_rows": 9,
        "objective": "micro_f1",
        "before": {"ECE@5": 1.5},
        "after": {"ECE@5": 0.5},
    },
}


def _changed(values, path, new):
    """Returns a copy of nested dicts with another value at a path."""
    values = json.loads(json.dumps(values))
    inner = values
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = new
    return values


@pytest.mark.parametrize(
    ("path", "new"),
    [
        (["step"], "x"),
        (["calibration"], 5),
        (["calibration"], {}),
        (["calibration", "method"], "none"),
        (["calibration", "slope"], -1),
        (["calibration", "slope"], "x"),
        (["calibration", "knots"], [0.5, 1.0]),
        (["calibration", "other"], 1),
        (["thresholds"], None),
        (["thresholds", "default"], "x"),
        (["thresholds", "of_labels"], 5),
        (["thresholds", "of_labels"], [["a", 1]]),
        (["report"], 5),
        (["report", "before"], {}),
        (["report", "num_rows"], "x"),
    ],
)
def test_fitted_scores_that_make_no_sense_are_named(path, new, tmp_path):
    file = tmp_path / fitted_scores.NAME
    checked_files.write_sealed(file, FITTED)
    found = fitted_scores.read(tmp_path)
    assert (found.step, found.thresholds.of_labels) == (3, {7: 0.25})
    checked_files.write_sealed(file, _changed(FITTED, path, new))
    with pytest.raises(data_errors.DataError) as error:
        fitted_scores.read(tmp_path)
    assert error.value.path == str(file)


def test_fitted_scores_that_are_gone_are_named(tmp_path):
    checked_files.write_sealed(tmp_path / "manifest.json", {"files": {}})
    assert fitted_scores.read(tmp_path) is None  # it never was there
    file = tmp_path / fitted_scores.NAME
    checked_files.write_sealed(file, FITTED)
    fitted = fitted_scores.read(tmp_path)
    fitted.write(tmp_path)
    file.unlink()
    with pytest.raises(data_errors.DataError, match="no such file") as error:
        fitted_scores.read(tmp_path)
    assert error.value.path == str(file)
    fitted_scores.remove(tmp_path)
    assert fitted_scores.read(tmp_path) is None


META = {
    "files": {},
    "is_best": False,
    "epoch": {"steps": 3, "loss_sum": 0.5},
    "history": [{"step": 3, "epoch": 1}],
}


@pytest.mark.parametrize(
    ("path", "new"),
    [
        (["files"], {"../model": {}}),
        (["files"], None),
        (["is_best"], "x"),
        (["epoch"], 3),
        (["epoch", "steps"], "x"),
        (["history"], None),
        (["history"], [3]),
        (["history"], [{"step": 3}]),
        (["history"], [{"step": 3, "epoch": None}]),
    ],
)
def test_a_checkpoint_that_makes_no_sense_is_named(path, new, tmp_path):
    file = tmp_path / "step_00000003" / checkpoint_folders.META
    file.parent.mkdir()
    checked_files.write_sealed(file, META)
    assert checkpoint_folders.best_step(tmp_path) is None
    checked_files.write_sealed(file, _changed(META, path, new))
    with pytest.raises(data_errors.DataError) as error:
        checkpoint_folders.best_step(tmp_path)
    assert error.value.path == str(file)


@pytest.mark.parametrize(
    "name",
    [
        *("config.json", "text_features/idf.npy", "text_features/new"),
        *("manifest.json", "metrics.jsonl", "checkpoints/step_1/x"),
        *("link", "../run/result.json"),
    ],
)
def test_no_output_overwrites_a_file_of_the_run(name, tmp_path):
    run = _run_of(tmp_path / "run", tmp_path / "data")
    (run / "link").symlink_to(run / "config.json")
    for path in ("-", "", tmp_path / "config.json", run / "report.html"):
        early_checks.check_output(str(path), str(run))
    for workdir in (run, ""):  # or another run's
        with pytest.raises(ValueError, match="must not be a file of the run"):
            early_checks.check_output(str(run / name), str(workdir))


def _run_of(folder, data_dir):
    """Writes what is looked at of a run, which says where its data were."""
    folder.mkdir()
    contents = {
        "run.json": json.dumps({"facts": {"data_dir": str(data_dir)}}),
        "config.json": "{}",
        "text_features/idf.npy": "",
    }
    for name, text in contents.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    files = {name: checked_files.digest(folder / name) for name in contents}
    checked_files.write_sealed(folder / "manifest.json", {"files": files})
    return folder


@pytest.mark.parametrize(
    ("name", "is_of_data"),
    [
        *[(name, True) for name in ("trn.json", "lbl.json", "raw/Y.txt")],
        *[("filter_labels_test.txt", True), ("link", True)],
        *[("test.csv", True), ("X.tst.npz", True), ("dense_train.npy", True)],
        *[("figures.csv", False), ("report.html", False), ("../x", False)],
        *[("prepared/train-00000-of-00001.units", True)],
        *[("prepared/figures.csv", False), ("prepared/records.json", True)],
    ],
)
def test_no_output_overwrites_the_data(name, is_of_data, tmp_path):
    data = tmp_path / "data"
    (data / "prepared").mkdir(parents=True)
    for written in ("records.json", "train-00000-of-00001.units"):
        (data / "prepared" / written).touch()
    (data / "link").symlink_to(data / "trn.json")
    run = _run_of(tmp_path / "run", data)
    path, folder = data / name, data
    if name.startswith("prepared/"):
        folder = data / "prepared"
        run = _run_of(tmp_path / "another", folder)
    checks = (
        lambda: early_checks.check_output(str(path), str(run)),
        lambda: early_checks.check_output(str(path), data_dir=str(folder)),
        lambda: early_checks.check_output(str(path), data_dir=str(path)),
    )
    for check in checks[: 3 if is_of_data else 2]:
        if is_of_data:
            with pytest.raises(ValueError, match="a file of the data set"):
                check()
        else:
            check()


@pytest.mark.parametrize("name", ["backbone", "word_vectors"])
def test_a_run_that_has_started_needs_no_file_of_its_recipe(name, tmp_path):
    config = config_lib.Config(encoder="conv", **{name: str(tmp_path / "gone")})
    early_checks.check_data(config, "", "gs://bucket/run")  # not looked at
    for workdir in ("", str(tmp_path / "new"), str(tmp_path)):
        with pytest.raises(ValueError, match=f"`{name}` must be a file that"):
            early_checks.check_data(config, "", workdir)
    checked_files.write_sealed(tmp_path / "manifest.json", {"files": {}})
    early_checks.check_data(config, "", str(tmp_path))


def test_what_is_no_file_is_not_replaced(tmp_path):
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    atomic_files.write_output(pipe, b"abc")
    assert os.read(reader, 9) == b"abc" and pipe.is_fifo()
    os.close(reader)
    link.symlink_to(tmp_path / "file")
    atomic_files.write_output(link, b"abc")
    assert link.is_symlink() and (tmp_path / "file").read_bytes() == b"abc"
