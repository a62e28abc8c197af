"""What TPUs need before TensorFlow is imported: an address and settings.

    python -m strategies.tpu -- CMD ...

sets the environment and becomes CMD. A notebook calls `prepare()` in its
first cell. Imports no TensorFlow.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import os
import pathlib
import re
import sys
from collections.abc import Mapping, MutableMapping, Sequence

from strategies import addresses, commands, strategy_errors

LOCAL = "local"
_GRPC = "grpc://"
_BRIDGE_FLAG = "--tf_mlir_enable_mlir_bridge=true"
_LIBRARY = "TF_PLUGGABLE_DEVICE_LIBRARY_PATH"
# A name as Google Cloud gives it, or its full path.
_NAME = re.compile(
    r"(projects/[\w.:-]+/locations/[\w-]+/nodes/)?[a-z][a-z0-9-]*"
)


def detect(environ: Mapping[str, str] = os.environ) -> str | None:
    """Returns the address of this machine's TPU, or None without one.

    TPU_NAME is what TensorFlow reads itself; TPU_ACCELERATOR_TYPE is set on
    TPU machines of Colab and of Kubernetes, whose TPU is a local device.
    """
    if environ.get("TPU_NAME"):
        return environ["TPU_NAME"]
    if environ.get("TPU_ACCELERATOR_TYPE"):
        return LOCAL
    return None


def check_address(address: str) -> None:
    """Raises unless it is `local`, a TPU's name, or grpc://host:port,..."""
    field = "tpu_address"
    if isinstance(address, str) and address.startswith(_GRPC):
        for server in grpc_servers(address):
            addresses.split(server, field)
    elif not isinstance(address, str) or not _NAME.fullmatch(address):
        needed = f"{LOCAL}, the name of a TPU, or {_GRPC}host:port"
        raise strategy_errors.StrategyError(field, needed, address)


def grpc_servers(address: str) -> list[str]:
    """Returns each `host:port` of a grpc:// address; of another, none."""
    if not address.startswith(_GRPC):
        return []
    return [part.removeprefix(_GRPC) for part in address.split(",")]


def settings(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Returns the variables that a local v5e or v6e lacks in its environment.

    These generations are reached through libtpu's PJRT plugin, which
    TensorFlow loads while it is imported. The settings are those that
    keras-rs tests its TensorFlow backend with on v6e
    (.github/workflows/actions.yml).
    """
    if not _needs_plugin(environ):
        return {}
    required = {
        "PJRT_DEVICE": "TPU",
        "NEXT_PLUGGABLE_DEVICE_USE_C_API": "true",
        _LIBRARY: environ.get(_LIBRARY) or _library(),
    }
    missing = {k: v for k, v in required.items() if not environ.get(k)}
    flags = environ.get("TF_XLA_FLAGS", "")
    if "--tf_mlir_enable_mlir_bridge" not in flags:
        missing["TF_XLA_FLAGS"] = f"{flags} {_BRIDGE_FLAG}".strip()
    return missing


def prepare(environ: MutableMapping[str, str] = os.environ) -> None:
    """Adds `settings` to the environment, before TensorFlow reads it."""
    missing = settings(environ)
    if "tensorflow" in sys.modules:
        _check_complete(missing, environ)
    environ.update(missing)


def check_local(environ: Mapping[str, str] = os.environ) -> None:
    """Raises unless the local TPU can work in this process."""
    if not _has_distribution("tensorflow-tpu"):
        needed = (
            "installed for a local TPU, in place of tensorflow, which has no "
            "TPU kernels: pip uninstall tensorflow; pip install "
            "tensorflow-tpu==2.19.1"
        )
        raise strategy_errors.StrategyError("tensorflow-tpu", needed, None)
    _check_complete(settings(environ), environ)


def _needs_plugin(environ: Mapping[str, str]) -> bool:
    accelerator = environ.get("TPU_ACCELERATOR_TYPE", "").lower()
    return accelerator.startswith(("v5e", "v5litepod", "v6e"))


def _library() -> str:
    """Returns the path of libtpu.so without loading it."""
    spec = importlib.util.find_spec("libtpu")
    if spec is None or not spec.submodule_search_locations:
        needed = "the path of libtpu.so, or the package libtpu be installed"
        raise strategy_errors.StrategyError(_LIBRARY, needed, None)
    return str(pathlib.Path(spec.submodule_search_locations[0], "libtpu.so"))


def _has_distribution(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _check_complete(
    missing: Mapping[str, str], environ: Mapping[str, str]
) -> None:
    """Raises if something is missing now that TensorFlow is imported."""
    for field, value in missing.items():
        needed = (
            f"{value!r} before TensorFlow is imported, for a v5e or v6e TPU. "
            "Start with `python -m strategies.tpu -- COMMAND`, or call "
            "`strategies.tpu.prepare()` before the first import of TensorFlow"
        )
        raise strategy_errors.StrategyError(field, needed, environ.get(field))


def main(arguments: Sequence[str]) -> None:
    """Sets the environment and becomes the command."""
    parser = argparse.ArgumentParser(prog="python -m strategies.tpu")
    _, command = commands.parse(parser, arguments)
    commands.become(command, settings())


if __name__ == "__main__":
    main(sys.argv[1:])
