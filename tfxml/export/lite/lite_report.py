"""Size, latency and accuracy of LiteRT files, compared with the model.

# N instances, M entries of a padded row, K top labels
"""

from __future__ import annotations

import importlib.util
import pathlib
import time
from collections.abc import Callable

import numpy as np

from tfxml.export.shared import accuracy, portable
from tfxml.run import restore

_INSTALL = 'pip install "tfxml[export]"'


class Runner:
    """Runs a LiteRT file.

    Raises:
        ValueError: if ai-edge-litert is not installed.
    """

    def __init__(self, path: str | pathlib.Path):
        if importlib.util.find_spec("ai_edge_litert") is None:
            raise ValueError(
                "ai-edge-litert must be installed to run LiteRT files: "
                f"{_INSTALL}"
            )
        from ai_edge_litert import interpreter

        self._interpreter = interpreter.Interpreter(str(path))
        self._best = self._interpreter.get_signature_runner(portable.SIGNATURE)

    def top_k(
        self, feature_ids: np.ndarray, feature_values: np.ndarray, k: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns scores and label ids [N, K] of padded rows [N, M]."""
        outputs = self.best(feature_ids, feature_values, k)
        return outputs["scores"], outputs["label_ids"]

    def best(
        self, feature_ids: np.ndarray, feature_values: np.ndarray, k: int
    ) -> dict[str, np.ndarray]:
        """Returns the outputs of `portable.save`, of padded rows [N, M]."""
        return self._best(
            feature_ids=feature_ids,
            feature_values=feature_values,
            k=np.int32(k),
        )


def table(
    run: restore.TrainedRun,
    files: dict[str, pathlib.Path],
    limit: int = 512,
) -> str:
    """Returns a table with a row per file, measured on `limit` instances.

    Raises:
        ValueError: if the run's data or ai-edge-litert are missing.
    """
    instances = accuracy.sample(run, limit)
    reference = accuracy.trained(run, instances)
    lines = [
        f"on {len(instances.label_sets)} instances      MB    P@1    P@3    P@5"
        "  same top 5  max |delta|  ms a query"
    ]
    k = reference.scores.shape[1]
    costs = accuracy.compare(reference, reference, instances)
    lines.append(_line("trained model", "", costs, ""))
    for name, path in files.items():
        runner = Runner(path)
        answers = accuracy.joined(
            [
                runner.top_k(ids, values, k)
                for ids, values in instances.batches(64)
            ]
        )
        lines.append(
            _line(
                name,
                f"{path.stat().st_size / 1e6:.2f}",
                accuracy.compare(answers, reference, instances),
                f"{1e3 * np.median(latencies(runner.top_k, instances, k)):.2f}",
            )
        )
    return "\n".join(lines)


def latencies(
    top_k: Callable[[np.ndarray, np.ndarray, int], tuple],
    instances: accuracy.Sample,
    k: int,
    batch_size: int = 1,
) -> list[float]:
    """Returns the seconds of each of up to 100 calls, after ten to warm up.

    Each call gets rows with no more padding than needed, as a client sends.
    """
    seconds: list[float] = []
    for ids, values in list(instances.batches(batch_size))[:100]:
        row_length = max(1, int((values != 0).sum(axis=1).max()))
        ids, values = ids[:, :row_length], values[:, :row_length]
        if not seconds:
            for _ in range(10):
                top_k(ids, values, k)
        start = time.perf_counter()
        top_k(ids, values, k)
        seconds.append(time.perf_counter() - start)
    return seconds


def _line(name: str, size: str, costs: dict, latency: str) -> str:
    return (
        f"{name:<20} {size:>7} {costs['P@1']:6.2f} {costs['P@3']:6.2f} "
        f"{costs['P@5']:6.2f} {costs['same_top']:10.2f}% "
        f"{costs['max_delta']:12.2e} {latency:>11}"
    )
