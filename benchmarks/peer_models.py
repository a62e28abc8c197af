"""Trains one peer on CSR matrices; run by `peers.py` in the peer's own Python.

    python benchmarks/peer_models.py xr-linear FEATURES_FOLDER TOP_IDS.npy

Prints one line of JSON: seconds, milliseconds, bytes. Writes the best five
label ids of each instance (-1: none). Exits with code 3 if the peer is not
installed. Each peer has its default settings. Needs scipy, and the chosen one
of libpecos, napkinxc and omikuji.
"""

import json
import pathlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np

K, SINGLE_QUERIES = 5, 500
NUM_BATCH_CALLS = 3  # of which the median counts


class XRLinear:
    """PECOS' hierarchical linear model."""

    def __init__(self):
        from pecos.xmc import Indexer, LabelEmbeddingFactory
        from pecos.xmc.xlinear import model

        self._indexer, self._embed = Indexer, LabelEmbeddingFactory
        self._class = model.XLinearModel

    def fit(self, x, y, folder):
        # A label without an instance has no embedding.
        self._seen = np.flatnonzero(np.asarray(y.sum(axis=0)).ravel())
        y = y[:, self._seen].tocsr()
        start = time.perf_counter()
        clusters = self._indexer.gen(self._embed.create(y, x))
        model = self._class.train(x, y, C=clusters)
        seconds = time.perf_counter() - start
        model.save(str(folder))
        self._model = self._class.load(str(folder), is_predict_only=True)
        return seconds

    def predict(self, x):
        scores = self._model.predict(
            x,
            beam_size=20,
            only_topk=K,
            threads=1 if x.shape[0] == 1 else -1,
        ).tocsr()
        rows = np.repeat(np.arange(x.shape[0]), np.diff(scores.indptr))
        best_first = np.lexsort((-scores.data, rows))
        columns = np.arange(len(rows)) - scores.indptr[rows]
        top = np.full((x.shape[0], K), -1)
        top[rows, columns] = self._seen[scores.indices[best_first]]
        return top


class NapkinXC:
    """napkinXC's probabilistic label tree, or its one-versus-rest."""

    def __init__(self, kind="PLT"):
        from napkinxc import models

        self._class = getattr(models, kind)

    def fit(self, x, y, folder):
        rows = [
            y.indices[y.indptr[row] : y.indptr[row + 1]].tolist()
            for row in range(y.shape[0])
        ]
        self._model = self._class(str(folder), threads=2)
        start = time.perf_counter()
        self._model.fit(x, rows)
        seconds = time.perf_counter() - start
        self._model.load()
        return seconds

    def predict(self, x):
        return _padded(self._model.predict(x, top_k=K))


class Omikuji:
    """omikuji's default, a forest of three Parabel trees."""

    def __init__(self):
        import omikuji

        self._class = omikuji.Model

    def fit(self, x, y, folder):
        with tempfile.TemporaryDirectory() as temporary:
            path = pathlib.Path(temporary) / "train.txt"
            _write_text(x, y, path)
            start = time.perf_counter()
            self._model = self._class.train_on_data(
                str(path), self._class.default_hyper_param(), n_threads=2
            )
            seconds = time.perf_counter() - start
        self._model.save(str(folder))
        return seconds

    def predict(self, x):
        rows = []
        for row in range(x.shape[0]):
            entries = slice(x.indptr[row], x.indptr[row + 1])
            pairs = zip(
                x.indices[entries].tolist(),
                x.data[entries].tolist(),
                strict=True,
            )
            predicted = self._model.predict(list(pairs), top_k=K)
            rows.append([label for label, _ in predicted])
        return _padded(rows)


PEERS: dict[str, Callable[[], Any]] = {
    "xr-linear": XRLinear,
    "plt": NapkinXC,
    "ovr": lambda: NapkinXC("OVR"),
    "omikuji": Omikuji,
}


def _padded(rows):
    top = np.full((len(rows), K), -1)
    for position, row in enumerate(rows):
        top[position, : len(row)] = list(row)[:K]
    return top


def _write_text(x, y, path):
    """Writes the repository's text format, which omikuji trains from.

    Instances without a feature, which omikuji refuses, are left out.
    """
    rows = np.flatnonzero(np.diff(x.indptr))
    with open(path, "w") as file:
        file.write(f"{len(rows)} {x.shape[1]} {y.shape[1]}\n")
        for row in rows:
            labels = y.indices[y.indptr[row] : y.indptr[row + 1]]
            entries = slice(x.indptr[row], x.indptr[row + 1])
            features = " ".join(
                f"{i}:{v:.6g}"
                for i, v in zip(
                    x.indices[entries], x.data[entries], strict=True
                )
            )
            file.write(f"{','.join(map(str, labels))} {features}\n")


def _read(folder, part):
    import scipy.sparse as sp

    matrices = []
    for name in (f"X.{part}.npz", f"Y.{part}.npz"):
        matrix = sp.load_npz(pathlib.Path(folder) / name).tocsr()
        matrix.sort_indices()
        matrices.append(matrix.astype(np.float32))
    return matrices


def _folder_bytes(folder):
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


def peak_gib():
    """Returns the peak memory of this process, without its parent's.

    (`ru_maxrss` starts with the parent's at the fork.)
    """
    with open("/proc/self/status") as status:
        peak = next(line for line in status if line.startswith("VmHWM"))
    return int(peak.split()[1]) / 2**20


def main():
    name, features, output = sys.argv[1:]
    try:
        peer = PEERS[name]()
    except ImportError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(3)
    x, y = _read(features, "trn")
    test, _ = _read(features, "tst")
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary) / "model"
        train_seconds = peer.fit(x, y, folder)
        size = _folder_bytes(folder)
        peer.predict(test[:2])
        batch_ms = []
        for _ in range(NUM_BATCH_CALLS):
            start = time.perf_counter()
            top = peer.predict(test)
            seconds = time.perf_counter() - start
            batch_ms.append(1e3 * seconds / test.shape[0])
        single = []
        for row in range(min(SINGLE_QUERIES, test.shape[0])):
            query = test[row]
            start = time.perf_counter()
            peer.predict(query)
            single.append(1e3 * (time.perf_counter() - start))
    np.save(output, top)
    print(
        json.dumps(
            {
                "train_s": train_seconds,
                "batch_ms": statistics.median(batch_ms),
                "p50_ms": statistics.median(single),
                "p99_ms": float(np.percentile(single, 99)),
                "peak_gib": peak_gib(),
                "disk_mb": size / 1e6,
            }
        )
    )


if __name__ == "__main__":
    main()
