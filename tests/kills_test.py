"""Killed at any file operation, a command run again ends as if never killed.

`python -m pytest -m slow tests/kills_test.py` tries every operation of every
command, and some of the exports that are converted for minutes; the default
suite one of training.
"""

import functools
import io
import json
import os
import shutil
import threading
import zipfile

import download_test
import killing
import pytest
import runs

_TRAIN = [
    "--head=mach",
    "--num_repetitions=2",
    "--num_buckets=9",
    "--hidden_units=4",
    "--batch_size=16",
    "--num_epochs=2",
    "--steps_per_loop=1",
    "--checkpoint_steps=1",
    "--min_df=1",
    "--dropout=0",
]
# What differs from run to run: times of day, and what they are sealed in.
_DIFFERS = (
    *("run.json", "manifest.json", "checkpoint.json", "metrics.jsonl"),
    *(".keras", ".pb", ".tflite", "MODEL_CARD.md", "warmup_requests"),
    *("model.json", "index.html"),  # the converter's order of nodes
)


def _write_texts(folder, num_labels):
    folder.mkdir()
    names = [f"label {i}" for i in range(num_labels)]
    (folder / "lbl.json").write_text(
        "".join(json.dumps({"title": name}) + "\n" for name in names)
    )
    for split in ("trn", "tst"):
        rows = [
            {
                "title": f"word{i % 7} word{i % 5}",
                "target_ind": [i % num_labels],
            }
            for i in range(30)
        ]
        (folder / f"{split}.json").write_text(
            "".join(json.dumps(row) + "\n" for row in rows)
        )
    return f"--data_dir={folder}"


@pytest.fixture(scope="module")
def killer():
    with killing.Killer() as started:
        yield started


class _Given:
    """Data sets, and runs that are trained when a command needs them."""

    def __init__(self, base, killer):
        self.base = base
        self._killer = killer
        self.data = _write_texts(base / "data", 6)
        self.more = _write_texts(base / "more", 7)
        self.held_out = _write_texts(base / "held_out", 6)
        shutil.copy(base / "data/trn.json", base / "held_out/val.json")
        self.ids = base / "ids.txt"
        self.ids.write_text("1\n2\n")

    @functools.cached_property
    def url(self):
        """Where an archive of a data set is served."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for split in ("train", "test"):
                rows = "".join(f"{i % 5} {i % 7}:1\n" for i in range(30))
                archive.writestr(f"set/{split}.txt", f"30 7 5\n{rows}")
        server = download_test.Server(buffer.getvalue())
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server.url

    @functools.cached_property
    def run(self):
        return self._trained("run")

    @functools.cached_property
    def calibrated(self):
        path = self.base / "calibrated"
        words = _calibrate(self, path)
        code, _, text = self._killer.run("tfxml.calibrate", words, self.base)
        assert code == 0, text[-3000:]
        return path

    @functools.cached_property
    def groups(self):
        for group in (0, 1):
            words = [f"--repetition_group={group}/2", "--num_encoders=2"]
            path = self._trained("groups", *words)
        return path

    @functools.cached_property
    def served(self):
        words = _export("saved_model")(self, self.base / "served")
        code, _, text = self._killer.run(_module("export"), words, self.base)
        assert code == 0, text[-3000:]
        return self.base / "served"

    def _trained(self, name, *words):
        path = self.base / name
        words = [*_TRAIN, *words, self.data, f"--workdir={path}"]
        code, _, text = self._killer.run("tfxml.train", words, self.base)
        assert code == 0, text[-3000:]
        return path


@pytest.fixture(scope="module")
def given(tmp_path_factory, killer):
    return _Given(tmp_path_factory.mktemp("given"), killer)


def _train(given, out):
    return [*_TRAIN, given.data, f"--workdir={out}"]


def _grow(given, out):
    return [f"--workdir={given.run}", f"--output={out}", given.more]


def _drop(given, out):
    return [f"--workdir={given.run}", f"--output={out}", f"--ids={given.ids}"]


def _rerank(given, out):
    words = ["--reranker_passes=1", "--num_hard_negatives=3", given.data]
    return [f"--workdir={given.run}", f"--output={out}", *words]


def _merge(given, out):
    if not out.exists():
        shutil.copytree(given.groups, out)
    return [f"--workdir={out}"]


def _calibrate(given, out):
    if not out.exists():
        shutil.copytree(given.run, out)
    return [f"--workdir={out}", given.held_out, "--split=dev"]


def _uncalibrate(given, out):
    if not out.exists():
        shutil.copytree(given.calibrated, out)
    return [f"--workdir={out}", "--remove"]


def _prepare(given, out):
    return [
        *["--min_df=1", "--num_workers=1", "--num_shards=2"],
        *[given.data, f"--output={out}"],
    ]


def _export(kind, tfjs_env=""):
    def words(given, out):
        return [
            *[f"--workdir={given.run}", f"--output={out}"],
            *[f"--format={kind}", f"--tfjs_env={tfjs_env}"],
        ]

    return words


def _second_version(given, out):
    if not out.exists():
        shutil.copytree(given.served, out)
    return _export("saved_model")(given, out)


def _download(given, out):
    return [given.url, out]


COMMANDS = {
    "download": _download,
    "train": _train,
    "grow": _grow,
    "drop": _drop,
    "rerank": _rerank,
    "merge": _merge,
    "calibrate": _calibrate,
    "calibrate remove": _uncalibrate,
    "prepare": _prepare,
    "export keras": _export("keras"),
    "export saved_model": _export("saved_model"),
    "export second version": _second_version,
    "export tflite": _export("tflite"),
}
if "TFJS_ENV" in os.environ:  # see tfxml/export/js/js_model.py
    COMMANDS["export tfjs"] = _export("tfjs", os.environ["TFJS_ENV"])
# Of those that take minutes each time, so many operations are tried.
_FEW = {"export tflite": 3, "export tfjs": 3}


def _content(out):
    """Returns all that a command has left, but for times of day."""
    found = {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in out.rglob("*")
        if path.is_file()
    }
    found |= {name: b"" for name in found if name.endswith(_DIFFERS)}
    found |= {name: b"" for name in found if "variables/" in name}
    if (out / "metrics.jsonl").exists():
        entries = runs.entries(out)
        found["metrics.jsonl"] = [runs.without_costs(e) for e in entries]
    return found


def _module(name):
    command = name.partition(" ")[0]
    others = {"export": "tfxml.export.__main__", "download": "tests.fetching"}
    return others.get(command, f"tfxml.{command}")


def _die_and_recover(killer, name, given, folder, at):
    """Returns what there is in the end, and how many operations it took."""
    out = folder / "out"
    words = COMMANDS[name](given, out)
    code, count, text = killer.run(_module(name), words, folder, at)
    assert code == (-9 if at else 0), text[-3000:]
    if at:
        code, _, text = killer.run(_module(name), words, folder)
        assert code == 0, text[-3000:]
    return _content(out), count


@pytest.fixture(scope="module")
def whole(killer, given, tmp_path_factory):
    """Returns a function that gives what a command does undisturbed."""
    known = {}

    def run(name):
        if name not in known:
            folder = tmp_path_factory.mktemp(name)
            known[name] = _die_and_recover(killer, name, given, folder, 0)
        return known[name]

    return run


@pytest.mark.slow
def test_training_killed_while_it_begins(killer, given, whole, tmp_path):
    wanted, count = whole("train")
    found, _ = _die_and_recover(killer, "train", given, tmp_path, count // 3)
    assert found == wanted


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_killed_at_every_operation(name, killer, given, whole, tmp_path):
    wanted, count = whole(name)
    assert count > 1
    if name == "export second version":
        count -= 1  # then the version is there, and another run makes a third
    step = max(1, count // _FEW.get(name, count))
    for at in range(1, count + 1, step):
        folder = tmp_path / str(at)
        folder.mkdir()
        found, _ = _die_and_recover(killer, name, given, folder, at)
        assert found == wanted, f"killed at operation {at} of {count}"
