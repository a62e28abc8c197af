"""From a config to the parts of a run: model, optimizer, metrics."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tfxml import config as config_lib
from tfxml.data.catalogue import known_sets, named_sets
from tfxml.evaluation import metrics
from tfxml.mach import hashing
from tfxml.models import extreme_classifier, reranker
from tfxml.models.encoders import bag_encoder
from tfxml.models.heads import centroid, mach_head, sigmoid
from tfxml.run import placement as placement_lib
from tfxml.run import workdir as workdir_lib
from tfxml.training import optimizers, schedules
from tfxml.training.solvers import label_classifiers as classifiers_lib

_USUAL_PROPENSITIES = 0.55, 1.5  # where nothing else is known


def model(
    config: config_lib.Config,
    facts: workdir_lib.Facts,
    label_counts: np.ndarray | None,
    placement: placement_lib.Placement = placement_lib.EVERYWHERE,
    dropped: Sequence[int] = (),
) -> extreme_classifier.ExtremeClassifier:
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
        repetitions = placement.run_of(config.num_repetitions)
        hashes = label_hashes(config, facts.num_labels)
        head = mach_head.MachHead(
            facts.num_labels,
            [hashes[repetition] for repetition in repetitions],
            input_dim,
            label_priors=priors,
            estimator=config.estimator,
            is_linear=is_linear,
            seeds=_seeds(config, repetitions),
            devices=placement.devices_of(len(repetitions)),
            decode_by=_decode_by(config, facts),
            dropped=dropped,
        )
    elif config.head == "centroid":
        head = centroid.CentroidHead(
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
    return extreme_classifier.ExtremeClassifier(
        _encoders(config, facts, placement) if has_encoders else [],
        head,
        facts.num_features,
        facts.form,
        _reranker(config, facts),
    )


def _reranker(config, facts) -> reranker.Reranker | None:
    if not config.reranker_passes:
        return None
    return reranker.Reranker(
        facts.num_labels,
        facts.num_features,
        config.reranker_features,
        config.num_candidates,
        config.reranker_weight,
    )


def reranking(config: config_lib.Config) -> classifiers_lib.Settings:
    """Returns how labels' own classifiers are learnt."""
    return classifiers_lib.Settings(
        config.reranker_cost,
        config.reranker_passes,
        config.reranker_features,
        config.reranker_centroid,
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
    steps_per_epoch: int,
    model: extreme_classifier.ExtremeClassifier,
):
    """Returns the model's optimizer, built, for epochs of so many steps."""

    def schedule(peak: float):
        return schedules.WarmUpAndDecay(
            peak,
            steps_per_epoch * config.num_epochs,
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
    if config.dataset in known_sets.names():
        entry = named_sets.entry_of(config.dataset)
        a, b = entry.propensity_a, entry.propensity_b
    return config.propensity_a or a, config.propensity_b or b


def _encoders(
    config, facts, placement: placement_lib.Placement
) -> list[bag_encoder.Encoder]:
    encoders = range(1)
    if config.head == "mach":
        encoders = placement.run_of(config.num_encoders)
    return [
        bag_encoder.Encoder(
            config.feature_buckets or facts.num_features,
            config.hidden_units,
            config.dropout,
            config.residual,
            seed=seed,
            table_shards=config.table_shards,
            device=device,
            feature_hash=_feature_hash(config, facts, encoder),
        )
        for encoder, seed, device in zip(
            encoders,
            _seeds(config, encoders),
            placement.devices_of(len(encoders)),
            strict=True,
        )
    ]


def _feature_hash(config, facts, encoder: int):
    """Returns a encoder's own hash of features, or None."""
    if not config.feature_buckets:
        return None
    return hashing.from_seed(
        ~config.hash_seed & (2**64 - 1),  # apart from the labels'
        encoder,
        config.feature_buckets,
        facts.num_features,
    )


def _seeds(config, which: range) -> list[int]:
    """Returns a seed per encoder or repetition, whichever others there are."""
    return [config.seed * 100003 + index for index in which]
