"""From a config to the parts of a run: model, optimizer, metrics."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tfxml import config as config_lib
from tfxml import placement as placement_lib
from tfxml import workdir as workdir_lib
from tfxml.data import (
    catalogue,
    named_sets,
)
from tfxml.evaluation import metrics
from tfxml.mach import hashing
from tfxml.models import (
    centroids,
    classifier,
    encoders,
    mach,
    refiner,
    sigmoid,
)
from tfxml.training import optimizers, schedules
from tfxml.training import refining as refining_lib

_USUAL_PROPENSITIES = 0.55, 1.5  # where nothing else is known


def model(
    config: config_lib.Config,
    facts: workdir_lib.Facts,
    label_counts: np.ndarray | None,
    placement: placement_lib.Placement = placement_lib.EVERYWHERE,
    dropped: Sequence[int] = (),
) -> classifier.ExtremeClassifier:
    """Returns the model, with biases at the labels' frequencies.

    `label_counts` of None: at 0, where weights are restored. Labels `dropped`
    are never answered.
    """
    priors = None
    if label_counts is not None:
        priors = _priors(label_counts, facts.num_train)
    has_encoders = config.head != "centroid" and bool(config.hidden_units)
    is_linear = not config.hidden_units
    input_dim = facts.num_features if is_linear else config.hidden_units[-1]
    if config.head == "mach":
        worlds = placement.run_of(config.num_repetitions)
        hashes = label_hashes(config, facts.num_labels)
        head = mach.MachHead(
            facts.num_labels,
            [hashes[world] for world in worlds],
            input_dim,
            label_priors=priors,
            estimator=config.estimator,
            is_linear=is_linear,
            seeds=_seeds(config, worlds),
            devices=placement.devices_of(len(worlds)),
            decode_by=_decode_by(config, facts),
            dropped=dropped,
        )
    elif config.head == "centroid":
        head = centroids.CentroidHead(
            facts.num_labels,
            facts.num_features,
            config.centroid_features,
            dropped=dropped,
        )
    else:
        head = sigmoid.SigmoidHead(
            facts.num_labels,
            input_dim,
            label_priors=priors,
            block_size=config.label_block_size,
            is_linear=is_linear,
            seed=config.seed,
            dropped=dropped,
        )
    return classifier.ExtremeClassifier(
        _encoders(config, facts, placement) if has_encoders else [],
        head,
        facts.num_features,
        facts.form,
        _refiner(config, facts),
    )


def _refiner(config, facts) -> refiner.Refiner | None:
    if not config.refine_passes:
        return None
    return refiner.Refiner(
        facts.num_labels,
        facts.num_features,
        config.refine_features,
        config.refine_labels,
        config.refine_share,
    )


def refining(config: config_lib.Config) -> refining_lib.Settings:
    """Returns how labels' own classifiers are learnt."""
    return refining_lib.Settings(
        config.refine_cost,
        config.refine_passes,
        config.refine_features,
        config.refine_centroid,
        config.seed,
    )


def _decode_by(config, facts) -> str:
    """Returns how the best labels are found; static shapes allow one way."""
    if facts.form != "padded":
        return config.decode
    if config.decode == "threshold":
        raise ValueError(
            "`decode` must not be 'threshold' for padded rows, whose static "
            "shapes it has not. Received: decode='threshold'"
        )
    return "exhaustive"


def _priors(label_counts: np.ndarray, num_train: int) -> np.ndarray:
    """Returns the share of the instances that carry each label, [L].

    One not seen is rare, not absent: half an occurrence for everyone, or less
    where the labels not seen are so many that together they would outweigh
    those seen once (Good and Turing's estimate of what all of them occur).
    """
    num_unseen = np.count_nonzero(label_counts == 0)
    num_once = max(np.count_nonzero(label_counts == 1), 1)
    extra = min(0.5, num_once / max(num_unseen, 1))
    return (label_counts + extra) / (num_train + 1)


def label_hashes(
    config: config_lib.Config, num_labels: int
) -> list[hashing.UniversalHash]:
    """Returns one hash a repetition."""
    num_buckets = config.num_buckets or min(
        num_labels, max(2, round(4 * num_labels**0.5))
    )
    capacity = config.label_capacity or num_labels * 5 // 4
    if capacity < num_labels:
        raise ValueError(
            f"`label_capacity` must be at least the {num_labels} labels. "
            f"Received: label_capacity={capacity}"
        )
    return [
        hashing.from_seed(config.hash_seed, repetition, num_buckets, capacity)
        for repetition in range(config.num_repetitions)
    ]


def optimizer(
    config: config_lib.Config,
    a_epoch: int,
    model: classifier.ExtremeClassifier,
):
    """Returns the model's optimizer, built, for epochs of so many steps."""

    def schedule(peak: float):
        return schedules.WarmUpAndDecay(
            peak,
            a_epoch * config.num_epochs,
            config.warmup_steps,
            config.decay,
        )

    made = optimizers.create(
        config.optimizer,
        schedule(config.learning_rate),
        config.global_clipnorm or None,
        config.epsilon,
    )
    if config.head_optimizer == "sgd":
        of_head = optimizers.create("sgd", schedule(config.head_learning_rate))
        made = optimizers.ByLayer(
            made, head=(of_head, model.head.trainable_variables)
        )
    made.build(model.trainable_variables)
    return made


def ranking_metrics(
    config: config_lib.Config,
    facts: workdir_lib.Facts,
    label_counts: np.ndarray,
) -> metrics.RankingMetrics:
    """Returns metrics with the training split's propensities."""
    return metrics.RankingMetrics(
        config.metric_ks,
        label_counts,
        metrics.inverse_propensities(
            label_counts,
            facts.num_train,
            *propensities(config),
        ),
    )


def propensities(config: config_lib.Config) -> tuple[float, float]:
    """Returns Jain et al.'s a and b: those given, or those of the data set."""
    a, b = _USUAL_PROPENSITIES
    if config.dataset in catalogue.names():
        entry = named_sets.entry_of(config.dataset)
        a, b = entry.propensity_a, entry.propensity_b
    return config.propensity_a or a, config.propensity_b or b


def _encoders(
    config, facts, placement: placement_lib.Placement
) -> list[encoders.Encoder]:
    trunks = range(1)
    if config.head == "mach":
        trunks = placement.run_of(config.num_trunks)
    return [
        encoders.Encoder(
            config.feature_buckets or facts.num_features,
            config.hidden_units,
            config.dropout,
            config.residual,
            seed=seed,
            table_shards=config.table_shards,
            device=device,
            feature_hash=_feature_hash(config, facts, trunk),
        )
        for trunk, seed, device in zip(
            trunks,
            _seeds(config, trunks),
            placement.devices_of(len(trunks)),
            strict=True,
        )
    ]


def _feature_hash(config, facts, trunk: int):
    """Returns a trunk's own hash of features, or None."""
    if not config.feature_buckets:
        return None
    return hashing.from_seed(
        ~config.hash_seed & (2**64 - 1),  # apart from the labels'
        trunk,
        config.feature_buckets,
        facts.num_features,
    )


def _seeds(config, which: range) -> list[int]:
    """Returns a seed for each trunk or world, whichever others there are."""
    return [config.seed * 100003 + index for index in which]
