"""The choice of encoder, head, loss and form of rows."""

from __future__ import annotations

import dataclasses

from tfxml import options
from tfxml.models import encoders, heads, losses, row_forms


@dataclasses.dataclass(frozen=True)
class ModelOptions:
    """The choice of modules."""

    encoder: str = options.option(
        "bag",
        "What turns an instance into a vector.",
        choices=tuple(encoders.ENCODERS),
    )
    head: str = options.option(
        "sigmoid",
        "The output layer. centroid has no hidden units and takes no steps: it "
        "ranks by cosines to the labels' centroids.",
        choices=tuple(heads.HEADS),
    )
    base_head: str = options.option(
        "sigmoid",
        "What the cornet, graph and chain heads stand on.",
        choices=("sigmoid", "mach"),
    )
    loss: str = options.option(
        "sigmoid_cross_entropy",
        "The loss of the head's outputs.",
        choices=tuple(losses.LOSSES),
    )
    several_labels: str = options.option(
        "refuse",
        "What a loss whose outputs compete (softmax, categorical hinge) does "
        "about instances with several labels. average: the mean of the labels' "
        "losses.",
        choices=("refuse", "average"),
    )
    form: str = options.option(
        "auto",
        "How sparse rows are multiplied. auto: the cheapest; padded: static "
        "shapes, which a TPU needs.",
        choices=("auto", *row_forms.FORMS),
    )
