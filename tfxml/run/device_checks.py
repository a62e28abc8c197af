"""Whether a model can be spread over the devices that a placement names."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from strategies import devices as devices_lib
from strategies import strategy_errors
from tfxml import config as config_lib
from tfxml.models import contract, encoders, heads
from tfxml.run import placement as placement_lib


def check(
    placement: placement_lib.Placement,
    config: config_lib.Config,
    strategy: tf.distribute.Strategy,
) -> None:
    """Raises ValueError unless the model can be spread like this."""
    if not placement.devices and placement.partition == placement_lib.WIDTH:
        return
    needed = _need_of_model(placement, config)
    if not needed and placement.partition == placement_lib.REPLICAS:
        needed = _need_of_replicas(placement, strategy)
    elif not needed:
        _check_names(placement.devices)
        needed = _need_of_devices(placement, strategy)
    if needed:
        raise ValueError(
            f"`model_devices` must be {needed}. Received: model_devices="
            f"{','.join(placement.devices) or 'none'}, "
            f"model_partition={placement.partition}"
        )


def _check_names(names: Sequence[str]) -> None:
    """Raises StrategyError, of the flag, unless devices are there."""
    try:
        devices_lib.check_exist(devices_lib.parse(names))
    except strategy_errors.StrategyError as error:
        raise strategy_errors.StrategyError(
            "model_devices", error.needed, error.value
        ) from error


def _need_of_model(
    placement: placement_lib.Placement, config: config_lib.Config
) -> str:
    """Returns what the model lacks; '' if it can be spread."""
    passes_rows = encoders.ENCODERS.options(config.encoder).passes_rows
    is_linear = passes_rows(config)
    if heads.HEADS[config.head].learns != contract.GRADIENTS:
        return "used with a head that learns in steps"
    if placement.partition == placement_lib.LAYERS:
        if is_linear:
            return "used with an encoder, for model_partition=layers"
        if not placement.devices:
            return "given for model_partition=layers"
    if placement.partition == placement_lib.REPLICAS and is_linear:
        return "used with an encoder, for model_partition=replicas"
    return ""


def _need_of_replicas(
    placement: placement_lib.Placement, strategy: tf.distribute.Strategy
) -> str:
    """Returns what the replicas lack to share one head; '' if nothing."""
    if placement.devices:
        return "empty for model_partition=replicas, which uses the replicas'"
    if (
        not isinstance(strategy, tf.distribute.MirroredStrategy)
        or strategy.num_replicas_in_sync == 1
    ):
        return (
            "used with strategy=mirrored and several devices, for "
            "model_partition=replicas"
        )
    return ""


def _need_of_devices(
    placement: placement_lib.Placement, strategy: tf.distribute.Strategy
) -> str:
    """Returns what the devices lack; '' if nothing."""
    devices, num_replicas = placement.devices, strategy.num_replicas_in_sync
    if isinstance(strategy, tf.distribute.MirroredStrategy):
        own = [
            devices_lib.shorten(name)
            for name in strategy.extended.worker_devices
        ]
    elif strategy is tf.distribute.get_strategy() and not (
        tf.distribute.has_strategy()
    ):
        own = [devices[0]]
    else:
        return "used with strategy=default or strategy=mirrored"
    if len(devices) % num_replicas:
        return f"an equal number of devices for {num_replicas} replicas each"
    size = len(devices) // num_replicas
    if placement.partition == placement_lib.LAYERS and size < 2:
        return "two or more for each replica, for model_partition=layers"
    if own != list(devices[::size]):
        return (
            "equal runs, each beginning with the device of its replica: "
            f"{','.join(own)}"
        )
    return ""
