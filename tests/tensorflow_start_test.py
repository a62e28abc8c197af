"""What a command's process imports with TensorFlow."""

import subprocess
import sys

import pytest

_START = """
import sys
from tfxml.run import tensorflow_start
if {is_command}:
    tensorflow_start.save_memory()
tensorflow_start.quietly()
names = "matplotlib", "pandas", "sklearn"
print(*(name for name in names if name in sys.modules))
import sklearn
print(sklearn.utils.validation.check_array([[1]]).shape)
"""


@pytest.mark.parametrize("is_command", [True, False])
def test_a_command_imports_what_keras_would_like_only_when_it_is_used(
    is_command,
):
    printed = subprocess.check_output(
        [sys.executable, "-c", _START.format(is_command=is_command)], text=True
    )
    imported, shape = printed.splitlines()
    assert ("sklearn" in imported.split()) is not is_command
    assert shape == "(1, 1)"
