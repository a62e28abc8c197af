"""Batches that other processes make: tf.data service.

The service's workers run TensorFlow's operations and no Python of ours, so
what they read has to be such: prepared data, mapped, or generated data.
"""

from __future__ import annotations

import tensorflow as tf

PROTOCOL = "grpc://"


def check_address(address: str) -> None:
    """Raises unless it can be a dispatcher's address."""
    if not address.startswith(PROTOCOL) or ":" not in address[len(PROTOCOL) :]:
        raise ValueError(
            "`data_service` must be a dispatcher's grpc://host:port. "
            f"Received: data_service={address!r}"
        )


def through(dataset: tf.data.Dataset, address: str) -> tf.data.Dataset:
    """Returns the elements of a data set, made by a service's workers.

    Each element comes once, in whatever order the workers are done. One that a
    lost worker had taken does not come.
    """
    service = tf.data.experimental.service
    return dataset.apply(
        service.distribute(
            processing_mode=service.ShardingPolicy.DYNAMIC, service=address
        )
    )
