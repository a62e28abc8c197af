"""The recipe that finds itself beside the peers' defaults, set after set.

    python benchmarks/unseen.py --peers_python=peers-env/bin/python \\
        --data_dirs=../shared/data/bibtex,../shared/data/delicious

See `peers.py` for how the peers are installed. Each set is trained by
`python -m tfxml.train --data_dir=SET` and nothing else, and by each peer with
its default settings on TF-IDF rows of unigrams (`min_df` 3), in a process of
its own, one after the other. Our seconds are those from rows in memory to the
printed metrics: trial, training and evaluation. The peers' are of training
alone. Memory is the peak of the whole process.
"""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np
import peers
from absl import app, flags

_HERE = pathlib.Path(__file__).resolve().parent
_KEYS = [f"{name}@{k}" for name in ("P", "PSP") for k in (1, 3, 5)]
_SETS = flags.DEFINE_list("data_dirs", [], "The folders of the sets.")


def main(_) -> None:
    if not _SETS.value:
        raise app.UsageError("--data_dirs must be given")
    print(
        "| data | | train s | peak GiB | P@1 | P@3 | P@5 | PSP@1 | PSP@3 | "
        "PSP@5 |\n|" + " --- |" * 10
    )
    for data_dir in _SETS.value:
        _compare(pathlib.Path(data_dir))


def _compare(data_dir: pathlib.Path) -> None:
    with tempfile.TemporaryDirectory() as place:
        cost, scores = _ours(data_dir, place)
        print(_line(data_dir.name, "tfxml", cost, scores), flush=True)
        features, output = f"{place}/features", f"{place}/top.npy"
        peers.call(
            [
                sys.executable,
                str(_HERE / "peers.py"),
                "--min_df=3",
                f"--data_dir={data_dir}",
                f"--write={features}",
            ]
        )
        for peer in peers.PEERS.value:
            peer_cost = peers.call(
                [
                    peers.PYTHON.value,
                    str(_HERE / "peer_models.py"),
                    peer,
                    features,
                    output,
                ]
            )
            if peer_cost is None:
                print(f"{peer} is not installed in {peers.PYTHON.value}")
                continue
            scores = peers.scores(pathlib.Path(features), np.load(output))
            print(_line(data_dir.name, peer, peer_cost, scores), flush=True)


def _ours(data_dir: pathlib.Path, place: str) -> tuple[dict, list[float]]:
    """Returns the costs and the metrics of the command with no option."""
    workdir = f"{place}/run"
    command = [sys.executable, "-m", "tfxml.train", f"--data_dir={data_dir}"]
    process = subprocess.Popen(
        [*command, f"--workdir={workdir}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    begun, is_read = time.perf_counter(), False
    for line in process.stdout or ():
        is_read = is_read or line.startswith("recipe    ")
        if not is_read:  # the rows are not in memory, or have just come
            begun = time.perf_counter()
        print(line, end="", file=sys.stderr)
    seconds = time.perf_counter() - begun
    _, status, used = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(command)} failed: {status}")
    cost = {"train_s": seconds, "peak_gib": used.ru_maxrss / 2**20}
    result = json.loads(pathlib.Path(workdir, "result.json").read_text())
    return cost, [result[key] for key in _KEYS]


def _line(data: str, name: str, cost: dict, scores: list[float]) -> str:
    cells = [
        data,
        name,
        f"{cost['train_s']:.1f}",
        f"{cost['peak_gib']:.2f}",
        *(f"{score:.2f}" for score in scores),
    ]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    app.run(main)
