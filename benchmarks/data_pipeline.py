"""Measures rows/s and memory of each reader and of prepared data.

    python benchmarks/data_pipeline.py --what=readers
    python benchmarks/data_pipeline.py --what=feed --prepared=data/p1,data/p2
    python benchmarks/data_pipeline.py --what=prepare --data_dir=... \
        --output=... [-- flags of tfxml.prepare]

`readers` writes one generated set in every format and times each reader. It
compares them with a plain Python loop over the same text that ends with NumPy
arrays, and with napkinXC's loader (and PECOS', if `--pecos` names a Python that
has it). `feed` reads batches of prepared splits in a separate process, without
a model, and prints its rows/s and peak memory. `prepare` prints the peak memory
of each process. All figures are medians of `--rounds` in one run.
"""

from __future__ import annotations

import gzip
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile

import numpy as np
from absl import app, flags

_MEASURE = flags.DEFINE_enum(
    "what", "readers", ["readers", "feed", "prepare"], ""
)
_ROUNDS = flags.DEFINE_integer("rounds", 3, "Repetitions of each figure.")
_ROWS = flags.DEFINE_integer("rows", 20_000, "Rows of the generated set.")
_EACH = flags.DEFINE_integer("features_each", 70, "Mean features of a row.")
_PREPARED = flags.DEFINE_list("prepared", [], "Prepared folders.")
_BATCH = flags.DEFINE_integer("batch_size", 512, "Rows of a batch.")
_MAPPED = flags.DEFINE_bool(
    "mapped", False, "Feed by operations alone, as on parameter servers."
)
_SECONDS = flags.DEFINE_float("seconds", 15, "How long each is fed.")
_DATA_DIR = flags.DEFINE_string("data_dir", "", "What is prepared.")
_OUTPUT = flags.DEFINE_string("output", "", "Where it is prepared.")
_PECOS = flags.DEFINE_string("pecos", "", "A Python that has libpecos.")

_D, _L = 20_000, 1_000

_FEED = """
import sys, time
from tfxml.data.feeding import batching, pipeline
from tfxml.data.records import record_source
folder, batch_size, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
source = record_source.RecordSource(folder, "train", sys.argv[4] == "mapped")
cut = batching.ByInstances(source.num_instances, batch_size)
batches = iter(pipeline.training(source, cut, 0, 0, 10**9))
next(batches)
rows, start = 0, time.perf_counter()
while time.perf_counter() - start < seconds:
    rows += int(next(batches).instances.shape[0])
elapsed = time.perf_counter() - start
status = open("/proc/self/status").read().splitlines()
peak = [line.split()[1] for line in status if line.startswith("VmHWM")][0]
print(source.num_instances, rows / elapsed, peak)
"""

_PLAIN = """
import sys, time
import numpy as np
start = time.perf_counter()
splits, ids, values, label_splits, labels = [0], [], [], [0], []
with open(sys.argv[1]) as file:
    next(file)
    for line in file:
        first, *pairs = line.rstrip("\\n").split(" ")
        labels += map(int, first.split(",")) if first else ()
        label_splits.append(len(labels))
        for pair in pairs:
            feature, value = pair.split(":")
            ids.append(int(feature))
            values.append(float(value))
        splits.append(len(ids))
arrays = [np.array(column) for column in (splits, ids, values, labels)]
print(time.perf_counter() - start)
"""

_NAPKINXC = """
import sys, time
from napkinxc import datasets
start = time.perf_counter()
datasets.load_libsvm_file(sys.argv[1])
print(time.perf_counter() - start)
"""

_PECOS_LOAD = """
import sys, time
from pecos.utils import smat_util
start = time.perf_counter()
for path in sys.argv[1:]:
    smat_util.load_matrix(path)
print(time.perf_counter() - start)
"""

_TFXML = """
import sys, time
from tfxml.data.formats import folder
data = folder.detect(sys.argv[1])
start = time.perf_counter()
rows = sum(run.num_instances for run in data.read("train"))
print(time.perf_counter() - start)
"""


def _median(program: str, *arguments: str, python: str = "") -> float:
    """Returns the median of the seconds that a program prints."""
    seconds = []
    for _ in range(_ROUNDS.value):
        command = [python or sys.executable, "-c", program, *arguments]
        process = subprocess.run(command, capture_output=True, text=True)
        if process.returncode:
            return float("nan")
        seconds.append(float(process.stdout.split()[-1]))
    return statistics.median(seconds)


def _rows(seed: int = 0) -> list[tuple[list[int], list[tuple[int, float]]]]:
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(_ROWS.value):
        num_features = int(rng.integers(1, 2 * _EACH.value))
        ids = np.unique(rng.integers(0, _D, num_features)).tolist()
        values = rng.random(len(ids)).round(6).tolist()
        labels = np.unique(rng.integers(0, _L, 4)).tolist()
        rows.append((labels, list(zip(ids, values, strict=True))))
    return rows


def _write_formats(root: pathlib.Path) -> None:
    rows = _rows()
    pairs = [" ".join(f"{i}:{v:.6f}" for i, v in row) for _, row in rows]
    labels = [",".join(map(str, row)) for row, _ in rows]
    body = "".join(
        f"{a} {b}\n" for a, b in zip(labels, pairs, strict=True)
    ).encode()
    xc = f"{len(rows)} {_D} {_L}\n".encode() + body
    y = "\n".join(" ".join(f"{i}:1" for i in row) for row, _ in rows)
    texts = "".join(
        json.dumps(
            {"title": " ".join(f"w{i}" for i, _ in row), "target_ind": ids}
        )
        + "\n"
        for ids, row in rows
    )
    names = "".join(json.dumps({"title": f"l{i}"}) + "\n" for i in range(_L))
    head = f"{len(rows)} {_D}\n"
    for folder, files in {
        "xc_text": {"train.txt": xc},
        "xc_text.gz": {"train.txt.gz": gzip.compress(xc, 6)},
        "xy_sparse": {
            "trn_X_Xf.txt": (head + "\n".join(pairs) + "\n").encode(),
            "trn_X_Y.txt": f"{len(rows)} {_L}\n{y}\n".encode(),
        },
        "json_lines": {
            "trn.json": texts.encode(),
            "lbl.json": names.encode(),
        },
    }.items():
        (root / folder).mkdir()
        for name, content in files.items():
            (root / folder / name).write_bytes(content)
    (root / "csr_npz").mkdir()
    _write_npz(root / "csr_npz" / "X.trn.npz", [row for _, row in rows], _D)
    ones = [[(i, 1.0) for i in row] for row, _ in rows]
    _write_npz(root / "csr_npz" / "Y.trn.npz", ones, _L)


def _write_npz(path: pathlib.Path, rows, num_columns: int) -> None:
    lengths = list(map(len, rows))
    flat = [pair for row in rows for pair in row]
    arrays = {
        "format": np.array(b"csr"),
        "shape": np.array([len(rows), num_columns]),
        "indptr": np.cumsum([0, *lengths]),
        "indices": np.array([i for i, _ in flat], np.int32),
        "data": np.array([v for _, v in flat], np.float32),
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w") as file:
                np.lib.format.write_array(file, array, allow_pickle=False)


def _readers() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        root = pathlib.Path(temporary)
        _write_formats(root)
        text = str(root / "xc_text" / "train.txt")
        arrays = [str(root / "csr_npz" / f"{s}.trn.npz") for s in "XY"]
        seconds = {
            f"tfxml, {name}": _median(_TFXML, str(root / name))
            for name in (
                "xc_text",
                "xc_text.gz",
                "xy_sparse",
                "csr_npz",
                "json_lines",
            )
        }
        seconds["plain Python and NumPy, xc_text"] = _median(_PLAIN, text)
        seconds["napkinXC, xc_text"] = _median(_NAPKINXC, text)
        if _PECOS.value:
            seconds["PECOS, csr_npz"] = _median(
                _PECOS_LOAD, *arrays, python=_PECOS.value
            )
        ours = seconds["tfxml, xc_text"]
    print("| reader | rows/s | x tfxml's xc_text |\n| --- | --- | --- |")
    for name, reader_seconds in seconds.items():
        print(
            f"| {name} | {_ROWS.value / reader_seconds:,.0f} | "
            f"{ours / reader_seconds:.2f} |"
        )


def _feed() -> None:
    print("| prepared | N | rows/s | peak MiB |\n| --- | --- | --- | --- |")
    for folder in _PREPARED.value:
        rates, peaks = [], []
        for _ in range(_ROUNDS.value):
            arguments = [folder, str(_BATCH.value), str(_SECONDS.value)]
            arguments.append("mapped" if _MAPPED.value else "read")
            process = subprocess.run(
                [sys.executable, "-c", _FEED, *arguments],
                capture_output=True,
                text=True,
                check=True,
            )
            num_instances, rate, peak = map(float, process.stdout.split()[-3:])
            rates.append(rate)
            peaks.append(peak / 1024)
        name = pathlib.Path(folder).name
        rate = statistics.median(rates)
        print(
            f"| {name} | {num_instances:,.0f} | {rate:,.0f} | "
            f"{max(peaks):,.0f} |"
        )


def _prepare(arguments: list[str]) -> None:
    start = time.perf_counter()
    command = [sys.executable, "-m", "tfxml.prepare"]
    command += [f"--data_dir={_DATA_DIR.value}", f"--output={_OUTPUT.value}"]
    process = subprocess.Popen([*command, *arguments])
    peaks: dict[int, float] = {}
    while process.poll() is None:
        for pid in [process.pid, *_children(process.pid)]:
            peaks[pid] = max(peaks.get(pid, 0), _peak_mib(pid))
        time.sleep(0.2)
    seconds = time.perf_counter() - start
    peaks_text = ", ".join(f"{peak:,.0f}" for peak in peaks.values())
    print(f"{seconds:,.0f} s; peak MiB of each process: {peaks_text}")
    sys.exit(process.returncode)


def _children(pid: int) -> list[int]:
    path = pathlib.Path(f"/proc/{pid}/task/{pid}/children")
    try:
        return list(map(int, path.read_text().split()))
    except OSError:  # it has ended
        return []


def _peak_mib(pid: int) -> float:
    try:
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
    except OSError:  # it has ended
        return 0.0
    for line in status.splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return 0.0


def main(arguments: list[str]) -> None:
    if _MEASURE.value == "readers":
        _readers()
    elif _MEASURE.value == "feed":
        _feed()
    else:
        _prepare(arguments[1:])


if __name__ == "__main__":
    app.run(main)
