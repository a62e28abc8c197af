"""A factory of tf.distribute strategies; knows nothing of tfxml.

    import strategies

    strategy = strategies.create("mirrored")
    print(strategies.describe(strategy))

The public names are those in `PUBLIC`; everything else is internal and may
change. They are imported when they are first used, so that what needs no
TensorFlow, such as the launcher, starts none.
"""

from __future__ import annotations

import importlib

# Public name -> where it is defined.
PUBLIC: dict[str, str] = {
    "create": "strategies.factory.create",
    "describe": "strategies.factory.describe",
    "logical_cpus": "strategies.factory.logical_cpus",
    "Communication": "strategies.strategy_options.Communication",
    "Partition": "strategies.strategy_options.Partition",
    "cluster": "strategies.cluster",
    "launch": "strategies.launch",
    "serve": "strategies.parameter_server.serve",
}
__all__ = sorted(PUBLIC)


def __getattr__(name: str):
    if name not in PUBLIC:
        raise AttributeError(f"module 'strategies' has no attribute {name!r}")
    package, _, attribute = PUBLIC[name].rpartition(".")
    if package == "strategies":
        return importlib.import_module(PUBLIC[name])
    value = getattr(importlib.import_module(package), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
