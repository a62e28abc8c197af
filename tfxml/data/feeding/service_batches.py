"""Batches made by other processes: the tf.data service.

The service's workers run TensorFlow operations but none of our Python, so
they can only read prepared data, mapped into memory, or generated data.
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

    Each element is returned once, in the order in which the workers finish. An
    element that a lost worker was making is not returned.
    """
    service = tf.data.experimental.service
    # Compressed elements are variants that cannot be copied to a GPU, where
    # TensorFlow would place what takes them apart.
    with tf.device("/device:CPU:0"):
        return dataset.apply(
            service.distribute(
                processing_mode=service.ShardingPolicy.DYNAMIC, service=address
            )
        )
