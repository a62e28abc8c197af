"""Options of the re-ranker and of its solver."""

from __future__ import annotations

import dataclasses

from tfxml import options as options_lib

# A margin of 1, which a support vector has, counts as much as this logit.
LOGIT_OF_MARGIN = 5.0


@dataclasses.dataclass(frozen=True)
class RerankerOptions:
    """Options of the re-ranker and of its solver."""

    reranker_passes: int = options_lib.option(
        0,
        "Most passes over the data to learn the re-ranker, a sparse linear SVM "
        "per label, after the last epoch; from the ninth on, a label that has "
        "converged is done. 0: no re-ranker.",
        minimum=0,
    )
    num_hard_negatives: int = options_lib.option(
        50, "Hard negatives mined per training instance.", minimum=1
    )
    reranker_cost: float = options_lib.option(
        1.0,
        "C of the re-ranker's SVMs. Smaller regularises more.",
        minimum=0,
    )
    reranker_features: int = options_lib.option(
        512,
        "Weights the re-ranker keeps per label on average; the largest of all "
        "labels are kept.",
        minimum=1,
    )
    reranker_centroid: float = options_lib.option(
        0.0,
        "How much of the centroid of a label's positives is added to its "
        "re-ranker weights. Helps rare labels.",
        minimum=0,
    )
    reranker_name: float = options_lib.option(
        0.0,
        "How much of the row of a label's name is added to its re-ranker "
        "weights. Helps rare labels, for text with names of labels.",
        minimum=0,
    )
    feature_idf: bool = options_lib.option(
        False,
        "Centroids and the re-ranker learn from features weighted by inverse "
        "document frequency, as word counts should be. Rows are not changed: "
        "the learnt weights are scaled instead. Text is weighted already.",
    )
    num_candidates: int = options_lib.option(
        50, "Labels of the head that the re-ranker ranks again.", minimum=1
    )
    reranker_weight: float = options_lib.option(
        0.7,
        "Weight of the re-ranker's margin in the final ranking; the head's "
        "logit gets the rest.",
        minimum=0,
    )

    def check_reranker(self) -> None:
        """Raises ValueError for values out of range."""
        require = options_lib.require
        require(self.reranker_weight <= 1, "reranker_weight", "in [0, 1]", self)
        require(self.reranker_cost > 0, "reranker_cost", "above 0", self)
