"""Targets of the fuzzers that read what a run directory holds."""

import contextlib
import dataclasses
import io
import json
import pathlib
import tempfile

import fuzz_inputs
import numpy as np
import numpy_predictor_test

from tfxml import config
from tfxml.cpu import predictor as cpu_predictor
from tfxml.data import checked_files, data_errors
from tfxml.models import row_forms, stored_forms
from tfxml.run import fitted_scores, workdir
from tfxml.training import bundle_files, checkpoint_folders


def run_directory():
    """A run directory whose checksums are right: what then is read."""
    folder = pathlib.Path(tempfile.mkdtemp())
    names = [
        *("config.json", "run.json", "label_counts.npy"),
        *("label_names.jsonl", "head.json", "dropped_labels.npy"),
    ]
    facts = workdir.Facts(9, 3, 7, "padded", False, "")
    counts, dropped = io.BytesIO(), io.BytesIO()
    np.save(counts, np.ones(3, np.int64))
    np.save(dropped, np.zeros(1, np.int64))
    contents = [
        config.Config().to_json().encode(),
        json.dumps({"facts": vars(facts), "data": {"train": 7}}).encode(),
        counts.getvalue(),
        b'"a"\n"b"\n"c"\n',
        b'{"seed": 1}',
        dropped.getvalue(),
    ]

    written = fuzz_inputs.Files(folder / name for name in names)

    def run(data):
        written.write(data)
        files = dict(zip(names, written.digests(), strict=True))
        fuzz_inputs.write_sealed(folder / "manifest.json", {"files": files})
        found = workdir.Workdir(folder)
        for read in (
            found.read,
            found.read_fingerprint,
            found.read_label_counts,
            found.read_label_names,
            found.read_dropped_labels,
            lambda: found.check_head(None),
        ):
            with contextlib.suppress(ValueError):
                read()

    return fuzz_inputs.Target(run, [fuzz_inputs.SEPARATOR.join(contents)])


def run_manifest():
    """The manifest of a run directory, which stands for itself."""
    folder = pathlib.Path(tempfile.mkdtemp())
    path = folder / "manifest.json"
    (folder / "config.json").write_bytes(b"{}")
    files = {"config.json": checked_files.digest(folder / "config.json")}
    notes = ["calibration.json"]
    checked_files.write_sealed(path, {"files": files, "noted": notes})

    def run(data):
        path.write_bytes(data)
        workdir.Workdir(folder).read_label_names()
        fitted_scores.read(folder)  # which asks whether it was noted

    return fuzz_inputs.Target(run, [path.read_bytes()])


# What takes the place of members of JSON.
VALUES = [
    *(None, True, False, "", "x", [], {}, [[]], {"form": "Block"}),
    *(-1, 0, 1, 2, 3, 4, 7, 9, 2**31 - 1, 2**31, 2**63, -(2**63), 10**30),
    *(0.5, 1e308, float("nan"), float("inf"), {"variable": "none"}),
    {"array": [[0]], "dtype": "int8"},
]


def _places(value):
    """Yields the containers of nested JSON, each with a key of it."""
    keys = range(len(value)) if isinstance(value, list) else list(value)
    for key in keys:
        yield value, key
        if isinstance(value[key], list | dict):
            yield from _places(value[key])


def _edited(text, edits):
    """Returns JSON with members replaced, by others or by VALUES."""
    value = json.loads(text)
    edits = edits[:12]  # each may double what there is
    for place, kind in zip(edits[::2], edits[1::2], strict=False):
        places = list(_places(value))
        if not places:
            break
        container, key = places[place % len(places)]
        others = [there[at] for there, at in places]
        all_values = [*VALUES, *others]
        new = all_values[kind % len(all_values)]
        container[key] = json.loads(json.dumps(new))
    return json.dumps(value).encode()


def serving():
    """The forms of a run, its weights as they are: no loop reads beyond them.

    An input is JSON, or, after its first byte, what is edited in that of a
    model.
    """
    path = pathlib.Path(tempfile.mkdtemp()) / "serving.json"
    weights, seeds = {}, []
    for model in (
        numpy_predictor_test.features_model(),
        numpy_predictor_test.index_model(),
    ):
        arrays = {f"{len(seeds)} {n}": a for n, a in _arrays_of(model)}
        names = {id(array): name for name, array in arrays.items()}
        seeds.append(json.dumps(stored_forms.to_json(model, names)).encode())
        weights |= arrays
    rows = row_forms.RaggedRows(
        np.array([0, 3, 2]), np.ones(3, np.float32), np.array([0, 2, 2, 3])
    )

    def read(name):
        if name not in weights:
            raise data_errors.DataError(path, f"no weight {name}", "one")
        return weights[name]

    def run(data):
        if data[:1] in (b"\0", b"\1"):
            data = _edited(seeds[data[0]], data[1:])
        with checked_files.reading(path):
            model = stored_forms.from_json(json.loads(data), read)
            predictor = cpu_predictor.CpuPredictor(model, num_threads=1)
        with contextlib.suppress(ValueError, FloatingPointError):
            scores, label_ids = predictor.top_k(rows, 3)
            if not (0 <= label_ids).all() or np.isnan(scores).any():
                raise AssertionError(f"{label_ids} {scores}")

    for seed in seeds:
        run(seed)  # which compiles the loops
    edits = [bytes([model, place, 11]) for model in (0, 1) for place in (1, 9)]
    return fuzz_inputs.Target(run, [*seeds, *edits])


def _arrays_of(form):
    """Yields the arrays of nested forms that are their weights."""
    for number, member in enumerate(
        vars(form).values() if dataclasses.is_dataclass(form) else form
    ):
        if isinstance(member, np.ndarray) and member.size:
            yield str(number), member
        elif isinstance(member, list) or dataclasses.is_dataclass(member):
            for name, array in _arrays_of(member):
                yield f"{number}.{name}", array


def checkpoint():
    """The files of a checkpoint, their checksums right, read by NumPy."""
    base = pathlib.Path(tempfile.mkdtemp())
    folder = checkpoint_folders.path(base, 3)
    folder.mkdir()
    names = ["a/b", "c"]
    numpy_predictor_test.write_arrays(
        folder, {name: np.ones((2, 3), np.float32) for name in names}
    )
    paths = sorted(folder.iterdir())
    meta = {
        "step": 3,
        "metrics": {"P@1": 0.5},
        "is_best": True,
        "epoch": {"steps": 1, "loss_sum": 0.5},
        "history": [{"step": 3, "epoch": 1}],
    }
    seed = [json.dumps(meta).encode(), *(path.read_bytes() for path in paths)]
    written = fuzz_inputs.Files([base / "meta", *paths])

    def run(data):
        written.write(data)
        _, *digests = written.digests()
        files = {
            path.name: digest
            for path, digest in zip(paths, digests, strict=True)
        }
        try:
            found = dict(json.loads(written.paths[0].read_bytes()))
        except (ValueError, TypeError, RecursionError):
            found = meta
        fuzz_inputs.write_sealed(
            folder / checkpoint_folders.META, {"files": files, **found}
        )
        step = checkpoint_folders.chosen_step(base, "auto")
        entry = checkpoint_folders.read_meta(base, step)
        for name, expected in entry["files"].items():
            checked_files.check(folder / name, expected)
        with checked_files.reading(folder):
            bundle = bundle_files.Bundle(folder / "model")
            for name in names:
                with contextlib.suppress(FileNotFoundError):  # which is named
                    bundle.read(name)

    return fuzz_inputs.Target(run, [fuzz_inputs.SEPARATOR.join(seed)])
