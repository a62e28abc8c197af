"""From a config to the parts of a run: data, model, optimizer, metrics."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tfxml import config as config_lib
from tfxml import sources
from tfxml import workdir as workdir_lib
from tfxml.data import (
    batching,
    catalogue,
    folder,
    named_sets,
    pipeline,
    served,
    synthetic,
    text_features,
)
from tfxml.evaluation import metrics
from tfxml.mach import hashing
from tfxml.models import (
    classifier,
    encoders,
    mach,
    refiner,
    sigmoid,
    sparse_rows,
)
from tfxml.training import optimizers

_MOST_NAMES = 1_000_000  # of generated labels
_USUAL_PROPENSITIES = 0.55, 1.5  # where nothing else is known
# As large as the square of a single instance's gradient in a batch of some
# hundreds, so that a weight's first step is about half the rate.
_REFINER_ACCUMULATOR = 1e-8
_SAMPLE = 1024  # instances that say how many features a row has


@dataclasses.dataclass(frozen=True)
class TrainingData:
    """What a run trains on, evaluates on, and remembers of its data."""

    train: pipeline.Source
    evaluation: pipeline.Source
    facts: workdir_lib.Facts
    label_counts: np.ndarray  # [L] over `train`
    label_names: list[str] | None
    text_features: text_features.TextFeatures | None
    pairs: np.ndarray | None  # [F, 2] rows and labels not scored
    service: str = ""  # the tf.data service that makes training's batches


@dataclasses.dataclass(frozen=True)
class Placement:
    """Which of MACH's worlds are trained here, and on which devices.

    Attributes:
        group, num_groups: the share `group` of `num_groups` of the worlds,
            with trunks of their own; nothing is exchanged between groups.
        devices: the worlds are spread evenly over them; none: anywhere.
    """

    group: int = 0
    num_groups: int = 1
    devices: tuple[str, ...] = ()

    def __post_init__(self):
        if not 0 <= self.group < self.num_groups:
            raise ValueError(
                "`world_group` must be i/G with 0 <= i < G. "
                f"Received: world_group={self.group}/{self.num_groups}"
            )

    @property
    def folder(self) -> str:
        """The group's own folder in the run's; '' where there is one group."""
        if self.num_groups == 1:
            return ""
        return f"world_group_{self.group}_of_{self.num_groups}"

    def check(
        self, config: config_lib.Config, strategy: tf.distribute.Strategy
    ) -> None:
        """Raises unless the worlds can be trained apart like this."""
        pieces = self.num_groups * max(len(self.devices), 1)
        if pieces == 1:
            return
        needed = None
        if config.head != "mach":
            needed = "used with head=mach alone"
        elif _num_trunks(config) % pieces:
            needed = (
                f"such that {pieces} pieces divide the {config.num_trunks} "
                "trunks (see num_trunks): worlds that share a trunk train "
                "together"
            )
        elif config.refine_epochs:
            needed = (
                "used without refine_epochs, whose shortlist needs them all"
            )
        elif self.num_groups > 1 and config.global_clipnorm:
            needed = "used without global_clipnorm, a norm over all worlds"
        elif self.devices and strategy.num_replicas_in_sync > 1:
            needed = "used with one replica"
        if needed:
            raise ValueError(
                f"`world_group` and `world_devices` must be {needed}. "
                f"Received: world_group={self.group}/{self.num_groups}, "
                f"world_devices={','.join(self.devices) or 'none'}"
            )

    def run_of(self, number: int) -> range:
        """Returns the group's run of so many trunks or worlds."""
        share = number // self.num_groups
        return range(self.group * share, (self.group + 1) * share)

    def devices_of(self, number: int) -> list[str | None]:
        """Returns a device for each of the group's trunks or worlds."""
        if not self.devices:
            return [None] * number
        return [
            self.devices[index * len(self.devices) // number]
            for index in range(number)
        ]


EVERYWHERE = Placement()


def training_data(
    config: config_lib.Config,
    data_dir: str,
    strategy: tf.distribute.Strategy | None = None,
    features: text_features.TextFeatures | None = None,
    data_service: str = "",
) -> TrainingData:
    """Reads or generates the splits that a run needs.

    Under a TPU strategy rows are padded to static shapes. Text becomes rows
    by `features`; None: by what is fitted on the training split.
    `data_service` is the tf.data service that makes training's batches.
    """
    is_remote = isinstance(strategy, tf.distribute.ParameterServerStrategy)
    if data_service:
        served.check_address(data_service)
        _check_served(config, data_dir, is_remote)
    is_tpu = isinstance(strategy, tf.distribute.TPUStrategy)
    if is_tpu and config.form == "auto":
        config = dataclasses.replace(config, form="padded")
    # Workers of parameter servers and of a service run operations only.
    is_mapped = is_remote or bool(data_service)
    data = _read_data(config, data_dir, is_mapped, features)
    return dataclasses.replace(data, service=data_service)


def _read_data(config, data_dir: str, is_mapped: bool, features):
    if config.dataset in catalogue.names():
        found = sources.named_set(config.dataset, data_dir)
        return _folder_data(config, found, is_mapped, features)
    if is_folder(config, data_dir):
        return _folder_data(
            config, folder.detect(data_dir), is_mapped, features
        )
    return _synthetic_data(config)


def _check_served(config, data_dir: str, has_servers: bool) -> None:
    """Raises unless a tf.data service can make the batches."""
    needed = None
    if has_servers:
        needed = "used without parameter servers, whose workers make their own"
    elif config.dataset in catalogue.names() or (
        is_folder(config, data_dir)
        and folder.detect(data_dir).format != "records"
    ):
        needed = (
            "used with prepared data (see `python -m tfxml.prepare`) or the "
            "generated set, for rows in memory stay with their process"
        )
    if needed:
        raise ValueError(
            f"`data_service` must be {needed}. "
            f"Received: a tf.data service with data_dir={data_dir!r}"
        )


def takes_padded(
    facts: workdir_lib.Facts, strategy: tf.distribute.Strategy
) -> bool:
    """Tells whether batches have static shapes, as a TPU needs them.

    A model takes them in whatever form it was trained.
    """
    is_tpu = isinstance(strategy, tf.distribute.TPUStrategy)
    return is_tpu or facts.form == "padded"


def evaluation_data(
    config: config_lib.Config,
    facts: workdir_lib.Facts,
    split: str,
    features: text_features.TextFeatures | None,
) -> tuple[pipeline.Source, np.ndarray | None]:
    """Returns a split of a trained run's data, and its pairs not scored.

    An empty `split` is the one that training evaluated.
    """
    if not split and config.validation_fraction:
        split = "validation"
    if not facts.data_dir:
        return _synthetic_split(config, split or "test"), None
    source_folder = folder.detect(facts.data_dir)
    _check_sizes(facts, source_folder)
    if split != "validation":
        split = split or eval_split(config, source_folder.splits)
        return sources.scored_split(config, source_folder, split, features)
    if not config.validation_fraction:
        raise ValueError(
            "`split` must be one of the folder's splits: "
            f"{source_folder.splits}. Received: {split=}, of a run that "
            "held nothing out"
        )
    train, _ = sources.read_split(config, source_folder, "train", features)
    return sources.hold_out(config, train)[1], None


def is_folder(config: config_lib.Config, data_dir: str) -> bool:
    """Tells whether instances come from a folder.

    Raises:
        ValueError: if the config and `data_dir` contradict each other.
    """
    if config.dataset == "folder" and not data_dir:
        raise ValueError(
            "`data_dir` must be given for dataset=folder. Received: none"
        )
    if config.dataset == "synthetic" and data_dir:
        raise ValueError(
            "`data_dir` must be empty for dataset=synthetic. "
            f"Received: {data_dir=}"
        )
    return bool(data_dir)


def model(
    config: config_lib.Config,
    facts: workdir_lib.Facts,
    label_counts: np.ndarray | None,
    placement: Placement = EVERYWHERE,
    label_features: np.ndarray | None = None,
    dropped: Sequence[int] = (),
) -> classifier.ExtremeClassifier:
    """Returns the model, with biases at the labels' frequencies.

    `label_counts` of None: at 0, where weights are restored. `label_features`
    are what labels' own classifiers read; None: what is restored. Labels
    `dropped` are never answered.
    """
    priors = None
    if label_counts is not None:
        priors = _priors(label_counts, facts.num_train)
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
        [] if is_linear else _encoders(config, facts, placement),
        head,
        facts.num_features,
        facts.form,
        _refiner(config, facts, label_features),
    )


def _refiner(config, facts, label_features) -> refiner.Refiner | None:
    if not config.refine_epochs:
        return None
    return refiner.Refiner(
        facts.num_labels,
        facts.num_features,
        config.refine_features,
        config.refine_labels,
        config.refine_share,
        label_features,
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


def batches(
    config: config_lib.Config, train: pipeline.Source
) -> batching.Batches:
    """Returns how an epoch of the training split is cut."""
    if not config.batch_nonzeros:
        return batching.ByInstances(train.num_instances, config.batch_size)
    return batching.ByNonzeros(
        train.row_lengths(), config.batch_size, config.batch_nonzeros
    )


def optimizer(
    config: config_lib.Config,
    a_epoch: int,
    model: classifier.ExtremeClassifier,
):
    """Returns the model's optimizer, built, for epochs of so many steps."""

    def schedule(peak: float):
        return optimizers.WarmUpAndDecay(
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
    own = {}
    if config.head_optimizer == "sgd":
        own["head"] = (
            optimizers.create("sgd", schedule(config.head_learning_rate)),
            model.head.trainable_variables,
        )
    if model.refiner is not None:
        own["refiner"] = (
            optimizers.LazyAdagrad(
                optimizers.WarmUpAndDecay(
                    config.refine_learning_rate, a_epoch * config.refine_epochs
                ),
                _REFINER_ACCUMULATOR,
            ),
            model.refiner.trainable_variables,
        )
    if own:
        made = optimizers.ByLayer(made, **own)
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


def _encoders(config, facts, placement: Placement) -> list[encoders.Encoder]:
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


def _num_trunks(config) -> int:
    """Returns in how many pieces worlds can be trained apart."""
    return config.num_trunks if config.hidden_units else config.num_repetitions


def _seeds(config, which: range) -> list[int]:
    """Returns a seed for each trunk or world, whichever others there are."""
    return [config.seed * 100003 + index for index in which]


def _folder_data(
    config, source_folder, is_mapped: bool, fitted
) -> TrainingData:
    features = sources.text_features(config, source_folder, fitted)
    train, _ = sources.read_split(
        config, source_folder, "train", features, is_mapped
    )
    if config.validation_fraction:
        train, held_out = sources.hold_out(config, train)
        pairs = None
    else:
        split = eval_split(config, source_folder.splits)
        held_out, pairs = sources.scored_split(
            config, source_folder, split, features, is_mapped
        )
    return TrainingData(
        train,
        held_out,
        workdir_lib.Facts(
            train.num_features,
            train.num_labels,
            train.num_instances,
            _form(config, train),
            features is not None,
            str(source_folder.path),
        ),
        train.label_counts(),
        source_folder.label_names(),
        features,
        pairs,
    )


def _check_sizes(facts: workdir_lib.Facts, source_folder) -> None:
    num_features = source_folder.num_features or facts.num_features
    if (source_folder.num_labels, num_features) != (
        facts.num_labels,
        facts.num_features,
    ):
        raise ValueError(
            f"`data_dir` must hold {facts.num_labels} labels and "
            f"{facts.num_features} features, as the run's data did. "
            f"Received: {facts.data_dir}, with {source_folder.num_labels} "
            f"labels and {num_features} features"
        )


def eval_split(config: config_lib.Config, available) -> str:
    """Returns the split to evaluate on, of those available."""
    if config.eval_split != "auto":
        wanted = config.eval_split
    else:
        wanted = "test" if "test" in available else "dev"
    if wanted not in available:
        raise ValueError(
            f"`eval_split` must be one of {tuple(available)}. "
            f"Received: eval_split={config.eval_split!r}"
        )
    return wanted


def _form(config, source: pipeline.Source) -> str:
    """Returns how rows are multiplied, by what the first ones hold."""
    if config.form != "auto":
        return config.form
    number = min(source.num_instances, _SAMPLE)
    feature_ids, _, _ = source.rows(tf.range(number, dtype=tf.int64))
    return sparse_rows.choose_form(
        config.feature_buckets or source.num_features,
        len(feature_ids.flat_values) / number,
    )


def _synthetic_data(config) -> TrainingData:
    train = _synthetic_split(config, "train")
    split = "validation" if config.validation_fraction else "test"
    held_out = _synthetic_split(config, split)
    return TrainingData(
        train,
        held_out,
        workdir_lib.Facts(
            train.num_features,
            train.num_labels,
            train.num_instances,
            _form(config, train),
            is_text=False,
            data_dir="",
        ),
        train.label_counts(),
        _synthetic_names(train),
        None,
        None,
    )


def _synthetic_names(source: synthetic.SyntheticSource) -> list[str] | None:
    """Returns the label names, or None where they are too many to hold."""
    if source.num_labels > _MOST_NAMES:
        return None
    return [source.label_name(i) for i in range(source.num_labels)]


def _synthetic_split(config, split: str) -> synthetic.SyntheticSource:
    """Returns a range of the generated instances: train, validation, test."""
    num_train, num_test = config.synthetic_train, config.synthetic_test
    num_held = int(num_train * config.validation_fraction)
    ranges = {
        "train": (0, num_train - num_held),
        "validation": (num_train - num_held, num_held),
        "test": (num_train, num_test),
    }
    if split not in ranges:
        raise ValueError(
            f"`split` must be one of {tuple(ranges)}. Received: {split=}"
        )
    first, number = ranges[split]
    return synthetic.SyntheticSource(
        number,
        config.synthetic_labels,
        seed=config.synthetic_seed,
        first_instance=first,
        dependence=config.synthetic_dependence,
        exponent=config.synthetic_exponent,
    )
