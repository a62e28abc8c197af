"""Request bodies for TensorFlow Serving, REST and gRPC.

gRPC bodies are serialized `PredictRequest` protos, encoded by hand so that an
export does not need tensorflow-serving-api, which has their classes. The field
numbers are those of tensorflow_serving/apis/*.proto.
"""

from __future__ import annotations

import base64
import json

import numpy as np
import tensorflow as tf

# PredictRequest
_MODEL_SPEC, _INPUTS = 1, 2
# ModelSpec
_NAME, _SIGNATURE_NAME = 1, 3
# An entry of a map
_KEY, _VALUE = 1, 2
# PredictionLog, and its PredictLog
_PREDICT_LOG, _REQUEST = 6, 1


def rest(signature: str, inputs: dict) -> str:
    """Returns the JSON body of `POST /v1/models/NAME:predict`.

    Args:
        signature: the name of a signature.
        inputs: arrays, numbers or lists, by name; text as str, binary as bytes.
    """
    columns = {name: _column(value) for name, value in inputs.items()}
    return json.dumps({"signature_name": signature, "inputs": columns})


def grpc(model: str, signature: str, inputs: dict) -> bytes:
    """Returns a serialized `PredictRequest`.

    Args:
        model: the name under which the model is served.
        signature: the name of a signature.
        inputs: arrays or lists, by name.
    """
    spec = _field(_NAME, model.encode()) + _field(
        _SIGNATURE_NAME, signature.encode()
    )
    entries = []
    for name, value in inputs.items():
        if not isinstance(value, np.ndarray):
            value = np.array(value, _dtype(value))
        tensor = tf.make_tensor_proto(value).SerializeToString()
        entries.append(
            _field(
                _INPUTS, _field(_KEY, name.encode()) + _field(_VALUE, tensor)
            )
        )
    return _field(_MODEL_SPEC, spec) + b"".join(entries)


def warm_up_record(request: bytes) -> bytes:
    """Returns the `PredictionLog` of a serialized `PredictRequest`."""
    return _field(_PREDICT_LOG, _field(_REQUEST, request))


def _column(value):
    """Returns a value for JSON; bytes as base64."""
    value = np.asarray(value).tolist()
    if not isinstance(value, list) or not value:
        return value
    if not isinstance(value[0], bytes):
        return value
    return [{"b64": base64.b64encode(content).decode()} for content in value]


def _dtype(value):
    """Returns the dtype of numbers in a request; None for texts."""
    kind = np.asarray(value).dtype.kind
    return {"i": np.int32, "f": np.float32}.get(kind)


def _field(number: int, content: bytes) -> bytes:
    """Returns a length-delimited field of the protobuf wire format."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    groups = []
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*groups, value])
