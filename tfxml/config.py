"""What is trained: one frozen dataclass is schema, defaults, help and types.

Where it is trained (folders, devices) is not here: see `flags.define_launch`.
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing

from tfxml.data import bad_rows as bad_rows_lib
from tfxml.data.catalogue import known_sets
from tfxml.data.synthetic import counter_random
from tfxml.data.text import unicode_forms
from tfxml.mach import decode
from tfxml.models import sparse_rows
from tfxml.training import optimizers, schedules


def _field(default, help_text: str, choices=None, minimum=None):
    metadata = {"help": help_text, "choices": choices, "minimum": minimum}
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class Config:
    """A run's recipe. Build it with `Config(head="mach", ...)`.

    Raises:
        ValueError: if a value is not among its choices or too small.
        TypeError: if a value has another type than its default.
    """

    dataset: str = _field(
        "auto",
        "Where instances come from; auto: the folder --data_dir where it is "
        "given, else the generated set. A set of the Extreme Classification "
        "Repository is fetched to --data_dir (data/<name> if empty) unless it "
        "is there.",
        choices=("auto", "folder", "synthetic", *known_sets.names()),
    )
    eval_split: str = _field(
        "auto",
        "The split that is evaluated; auto: test where there is one, else "
        "dev; validation needs --validation_fraction.",
        choices=("auto", "dev", "test", "validation"),
    )
    validation_fraction: float = _field(
        0.0,
        "The share of the training split held out: evaluated in place of "
        "test for early stopping and the best checkpoint.",
        minimum=0,
    )
    synthetic_labels: int = _field(
        1000, "Labels of the generated set.", minimum=8
    )
    synthetic_train: int = _field(
        16000, "Training instances of the generated set.", minimum=1
    )
    synthetic_test: int = _field(
        4000, "Test instances of the generated set.", minimum=1
    )
    synthetic_dependence: float = _field(
        0.0,
        "How often a topic's labels are drawn together, in [0, 1]; the "
        "marginals stay the same.",
        minimum=0,
    )
    synthetic_exponent: float = _field(
        0.875,
        "How steeply the popularity of the generated set's topics falls with "
        "their rank: " + ", ".join(map(str, counter_random.ZIPF_EXPONENTS)),
    )
    synthetic_seed: int = _field(0, "Seed of the generated set.")
    bad_rows: str = _field(
        "error",
        "What is done about rows that cannot be read; skip: count and report.",
        choices=bad_rows_lib.POLICIES,
    )
    normalize_rows: bool = _field(
        True, "Scale each row of features to length 1 (not text: it is so)."
    )
    unicode_normalization: str = _field(
        "none",
        "Text: the Unicode form that it is brought into before all else, so "
        "that one character written in two ways is one; NFKC: ligatures, wide "
        "and raised characters become plain ones too.",
        choices=unicode_forms.CHOICES,
    )
    ngrams: int = _field(
        1, "Text: the longest n-gram that is a feature.", minimum=1
    )
    min_df: int = _field(
        2,
        "Text: in how many documents a term must occur to be in the "
        "vocabulary.",
        minimum=1,
    )
    max_features: int = _field(
        0, "Text: the most frequent terms that are kept; 0: all.", minimum=0
    )
    sublinear_tf: bool = _field(True, "Text: 1 + ln(count) for the count.")
    use_idf: bool = _field(True, "Text: weigh terms by their rarity.")
    hash_buckets: int = _field(
        0,
        "Text: hash terms into this many features instead of keeping a "
        "vocabulary; 0: keep it.",
        minimum=0,
    )
    head: str = _field(
        "sigmoid",
        "The output layer; centroid: no steps and no hidden units, but the "
        "cosines to the labels' centroids.",
        choices=("sigmoid", "mach", "centroid"),
    )
    hidden_units: tuple[int, ...] = _field(
        (256,),
        "Widths of the hidden layers, comma-separated; none: a linear model.",
    )
    dropout: float = _field(0.5, "Share of hidden units dropped.", minimum=0)
    residual: bool = _field(
        False, "Add a hidden layer's input to its output where widths agree."
    )
    table_shards: int = _field(
        1,
        "Variables that hold the first layer's table, which parameter servers "
        "share.",
        minimum=1,
    )
    form: str = _field(
        "auto",
        "How sparse rows are multiplied; auto: by cost; padded: static "
        "shapes, which a TPU needs.",
        choices=("auto", *sparse_rows.FORMS),
    )
    label_block_size: int = _field(
        16384, "Sigmoid: labels computed at once.", minimum=1
    )
    num_repetitions: int = _field(
        16, "MACH: independent hashes and classifiers, R.", minimum=1
    )
    num_buckets: int = _field(
        0,
        "MACH: buckets of a repetition, B; 0: about 4 sqrt(L).",
        minimum=0,
    )
    num_encoders: int = _field(
        1,
        "MACH: encoders; 1: one that all repetitions share, R: one each; "
        "must divide R.",
        minimum=1,
    )
    estimator: str = _field(
        "logit",
        "MACH: how the repetitions' scores combine.",
        choices=decode.ESTIMATORS,
    )
    hash_seed: int = _field(0, "MACH: seed of the label hashes.")
    label_capacity: int = _field(
        0,
        "MACH: how many labels the hashes have room for when labels are "
        "added; 0: a quarter more than there are.",
        minimum=0,
    )
    decode: str = _field(
        "auto",
        "MACH: how the best labels are found: exhaustive looks at every "
        "label, threshold at those in opened buckets, with the same answer; "
        "auto: by cost.",
        choices=("auto", "exhaustive", "threshold"),
    )
    feature_buckets: int = _field(
        0,
        "Hash features into this many before the first layer, per encoder with "
        "a hash of its own; 0: as they are.",
        minimum=0,
    )
    centroid_features: int = _field(
        200,
        "Centroid: how many weights a label keeps, on average; the largest of "
        "all labels are kept.",
        minimum=1,
    )
    centroid_labels: int = _field(
        500,
        "Centroid: the most labels of a feature; frequent features cost time "
        "and tell little.",
        minimum=1,
    )
    centroid_power: float = _field(
        1.0,
        "Centroid: to which power of its length the sum of a label's positives "
        "is divided by it. 1: cosines; smaller: labels that are frequent come "
        "sooner.",
        minimum=0,
    )
    reranker_passes: int = _field(
        0,
        "Passes, after the last epoch, in which a sparse linear classifier of "
        "each label's own is learnt, a support vector machine, which helps to "
        "rank the head's best labels again. 0: no such classifiers.",
        minimum=0,
    )
    num_hard_negatives: int = _field(
        50,
        "From how many of the head's best labels of a training instance: they "
        "learn from it, as a negative unless it has the label.",
        minimum=1,
    )
    reranker_cost: float = _field(
        1.0, "C of the support vector machines; smaller: flatter.", minimum=0
    )
    reranker_features: int = _field(
        512,
        "How many weights a label's own classifier keeps, on average; the "
        "largest of all labels are kept.",
        minimum=1,
    )
    reranker_centroid: float = _field(
        0.0,
        "How much of the centroid of its positives is added to a label's own "
        "classifier, which then knows likeness too; helps rare labels.",
        minimum=0,
    )
    num_candidates: int = _field(
        50, "How many of the head's best labels are ranked again.", minimum=1
    )
    reranker_weight: float = _field(
        0.7,
        "Share of the labels' own classifiers in what is ranked by; the rest "
        "is the head's.",
        minimum=0,
    )
    optimizer: str = _field(
        "lazy_adam", "The optimizer.", choices=tuple(optimizers.OPTIMIZERS)
    )
    learning_rate: float = _field(0.003, "The highest rate.", minimum=0)
    head_optimizer: str = _field(
        "same",
        "What moves the head; same: the optimizer; sgd: plain gradient steps "
        "at head_learning_rate, which need no moments.",
        choices=("same", "sgd"),
    )
    head_learning_rate: float = _field(
        60.0,
        "The highest rate of head_optimizer=sgd, for a loss that is the mean "
        "over instances of the sum over labels.",
        minimum=0,
    )
    epsilon: float = _field(
        1e-6,
        "What the optimizer adds to its divisor; larger damps weights whose "
        "gradients are small (not sgd).",
        minimum=0,
    )
    warmup_steps: int = _field(
        0, "Steps in which the rate rises from 0.", minimum=0
    )
    decay: str = _field(
        "linear",
        "How the rate falls to 0 after the warm-up.",
        choices=schedules.WarmUpAndDecay.DECAYS,
    )
    global_clipnorm: float = _field(
        0.0, "Largest norm of all gradients together; 0: any.", minimum=0
    )
    batch_size: int = _field(
        128, "Instances of a step, over all replicas.", minimum=1
    )
    batch_nonzeros: int = _field(
        0,
        "Features of a step, at most, over all replicas: steps of about "
        "equally many features, and of at most batch_size instances; 0: steps "
        "of batch_size instances.",
        minimum=0,
    )
    num_epochs: int = _field(10, "Passes over the training split.", minimum=1)
    seed: int = _field(0, "Seed of weights, order and dropout.")
    steps_per_loop: int = _field(
        50, "Steps inside one graph, between looks at the run.", minimum=1
    )
    eval_batch_size: int = _field(
        512, "Instances evaluated at once.", minimum=1
    )
    eval_epochs: int = _field(
        1, "Evaluate and save a checkpoint after this many epochs.", minimum=1
    )
    metric_ks: tuple[int, ...] = _field(
        (1, 3, 5), "The k of P@k and the like, comma-separated, up to 100."
    )
    best_metric: str = _field(
        "P@1", "What the best checkpoint is best at (validation only)."
    )
    early_stopping: int = _field(
        0,
        "Stop after this many evaluations without a better one (validation "
        "only); 0: never.",
        minimum=0,
    )
    checkpoint_steps: int = _field(
        0,
        "Save a checkpoint also after about this many steps; 0: only after "
        "evaluations.",
        minimum=0,
    )
    keep_checkpoints: int = _field(
        1, "How many of the newest checkpoints are kept.", minimum=1
    )
    propensity_a: float = _field(
        0.0,
        "Propensity constant a (0.5 Wikipedia, 0.6 Amazon); 0: the named data "
        "set's, or 0.55.",
        minimum=0,
    )
    propensity_b: float = _field(
        0.0,
        "Propensity constant b (0.4 Wikipedia, 2.6 Amazon); 0: the named data "
        "set's, or 1.5.",
        minimum=0,
    )

    def __post_init__(self):
        for field in dataclasses.fields(self):
            _check(field, getattr(self, field.name))
        self._check_ranges()

    def _check_ranges(self) -> None:
        for name in ("validation_fraction", "dropout"):
            _require(getattr(self, name) < 1, name, "below 1", self)
        _require(
            self.reranker_weight <= 1, "reranker_weight", "in [0, 1]", self
        )
        _require(self.reranker_cost > 0, "reranker_cost", "above 0", self)
        _require(
            not (
                self.early_stopping
                and (self.reranker_passes or self.head == "centroid")
            ),
            "early_stopping",
            "0 with reranker_passes or head=centroid, which learn after the "
            "last epoch",
            self,
        )
        _require(
            self.head != "centroid" or self.form == "auto",
            "form",
            "auto with head=centroid, which reads rows as they come (and so "
            "not on a TPU, whose shapes are static)",
            self,
        )
        _require(
            self.synthetic_dependence <= 1,
            "synthetic_dependence",
            "in [0, 1]",
            self,
        )
        _require(
            self.synthetic_exponent in counter_random.ZIPF_EXPONENTS,
            "synthetic_exponent",
            f"one of {counter_random.ZIPF_EXPONENTS}",
            self,
        )
        _require(
            all(units >= 1 for units in self.hidden_units),
            "hidden_units",
            "positive widths",
            self,
        )
        _require(
            self.metric_ks and all(1 <= k <= 100 for k in self.metric_ks),
            "metric_ks",
            "at least one k, each in [1, 100]",
            self,
        )
        _require(
            list(self.metric_ks) == sorted(set(self.metric_ks)),
            "metric_ks",
            "ascending",
            self,
        )
        _require(
            bool(self.validation_fraction) or not self.early_stopping,
            "early_stopping",
            "0 unless validation_fraction is above 0, for nothing is tuned "
            "on a test split",
            self,
        )
        _require(
            bool(self.validation_fraction) or self.eval_split != "validation",
            "eval_split",
            "another split unless validation_fraction is above 0",
            self,
        )

        _require(
            not (self.max_features and self.hash_buckets),
            "max_features",
            "0 with hash_buckets, which keeps no vocabulary",
            self,
        )
        _require(
            self.head_optimizer == "same" or bool(self.hidden_units),
            "head_optimizer",
            "same for a linear model, whose head is all there is",
            self,
        )
        _require(
            self.head_optimizer == "same" or not self.global_clipnorm,
            "global_clipnorm",
            "0 with head_optimizer=sgd, for a norm is of all gradients",
            self,
        )
        _require(
            self.num_repetitions % self.num_encoders == 0,
            "num_encoders",
            f"a divisor of num_repetitions={self.num_repetitions}",
            self,
        )
        _require(
            not self.feature_buckets or bool(self.hidden_units),
            "feature_buckets",
            "0 for a linear model",
            self,
        )
        _require(
            not self.batch_nonzeros or self.form != "padded",
            "batch_nonzeros",
            "0 with form=padded, whose shapes are static",
            self,
        )
        _require(
            self.best_metric in self.metric_keys(),
            "best_metric",
            f"one of {self.metric_keys()}",
            self,
        )

    def metric_keys(self) -> tuple[str, ...]:
        """Returns the metrics of a run, e.g. `P@1`."""
        return tuple(
            f"{name}@{k}"
            for name in ("P", "nDCG", "PSP", "PSnDCG", "Recall")
            for k in self.metric_ks
        )

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> Config:
        """Returns the config that `to_json` wrote."""
        values = json.loads(text)
        for field in dataclasses.fields(cls):
            if isinstance(field.default, tuple) and field.name in values:
                values[field.name] = tuple(values[field.name])
        return cls(**values)


def differences(one: Config, other: Config) -> list[str]:
    """Returns a line for each field in which two configs differ."""
    return [
        f"{field.name}: {getattr(one, field.name)!r} and "
        f"{getattr(other, field.name)!r}"
        for field in dataclasses.fields(Config)
        if getattr(one, field.name) != getattr(other, field.name)
    ]


def field_type(field: dataclasses.Field) -> type:
    """Returns the plain type of a field's values."""
    hint = typing.get_type_hints(Config)[field.name]
    return tuple if isinstance(hint, types.GenericAlias) else hint


def _check(field: dataclasses.Field, value) -> None:
    wanted = field_type(field)
    is_int_for_float = wanted is float and type(value) is int
    if type(value) is not wanted and not is_int_for_float:
        raise TypeError(
            f"`{field.name}` must be of type {wanted.__name__}. "
            f"Received: {field.name}={value!r}"
        )
    choices = field.metadata["choices"]
    if choices and value not in choices:
        raise ValueError(
            f"`{field.name}` must be one of {tuple(choices)}. "
            f"Received: {field.name}={value!r}"
        )
    minimum = field.metadata["minimum"]
    if minimum is not None and value < minimum:
        raise ValueError(
            f"`{field.name}` must be at least {minimum}. "
            f"Received: {field.name}={value!r}"
        )


def _require(holds, name: str, needed: str, config: Config) -> None:
    if not holds:
        raise ValueError(
            f"`{name}` must be {needed}. "
            f"Received: {name}={getattr(config, name)!r}"
        )
