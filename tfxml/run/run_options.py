"""Options of a run: seed, evaluation, checkpoints, metrics."""

from __future__ import annotations

import dataclasses

from tfxml import options


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """How a run proceeds: when it evaluates, saves and stops."""

    seed: int = options.option(
        0, "Seed of the weights, the order of instances and dropout."
    )
    steps_per_loop: int = options.option(
        50, "Steps per graph call; the run is checked in between.", minimum=1
    )
    eval_batch_size: int = options.option(
        512, "Instances per evaluation batch.", minimum=1
    )
    eval_epochs: int = options.option(
        1, "Evaluate and save a checkpoint every this many epochs.", minimum=1
    )
    metric_ks: tuple[int, ...] = options.option(
        (1, 3, 5), "The k of P@k and the like, comma-separated, up to 100."
    )
    best_metric: str = options.option(
        "P@1",
        "Metric that selects the best checkpoint. Needs --validation_fraction.",
    )
    early_stopping: int = options.option(
        0,
        "Stop after this many evaluations without improvement. Needs "
        "--validation_fraction. 0: never.",
        minimum=0,
    )
    checkpoint_steps: int = options.option(
        0,
        "Also save a checkpoint about every this many steps. 0: only after "
        "evaluations.",
        minimum=0,
    )
    keep_checkpoints: int = options.option(
        1, "How many of the newest checkpoints to keep.", minimum=1
    )
    propensity_a: float = options.option(
        0.0,
        "Propensity constant a (0.5 Wikipedia, 0.6 Amazon). 0: that of the "
        "named data set, or 0.55.",
        minimum=0,
    )
    propensity_b: float = options.option(
        0.0,
        "Propensity constant b (0.4 Wikipedia, 2.6 Amazon). 0: that of the "
        "named data set, or 1.5.",
        minimum=0,
    )

    def metric_keys(self) -> tuple[str, ...]:
        """Returns the metrics of a run, e.g. `P@1`."""
        return tuple(
            f"{name}@{k}"
            for name in ("P", "nDCG", "PSP", "PSnDCG", "Recall")
            for k in self.metric_ks
        )

    def check_run(self) -> None:
        """Raises ValueError for values out of range."""
        require = options.require
        require(0 <= self.seed < 2**32, "seed", "in [0, 4294967295]", self)
        require(
            bool(self.metric_ks) and all(1 <= k <= 100 for k in self.metric_ks),
            "metric_ks",
            "at least one k, each in [1, 100]",
            self,
        )
        require(
            list(self.metric_ks) == sorted(set(self.metric_ks)),
            "metric_ks",
            "ascending",
            self,
        )
        require(
            self.best_metric in self.metric_keys(),
            "best_metric",
            f"one of {self.metric_keys()}",
            self,
        )
