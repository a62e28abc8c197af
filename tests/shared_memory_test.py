"""Arrays and tensors of one memory."""

import numpy as np
import pytest

from tfxml.data import shared_memory


@pytest.mark.parametrize("dtype", [np.float32, np.int32, np.int64])
def test_a_tensor_shares_the_memory_of_zeros_and_copies_others(dtype):
    array = shared_memory.zeros(1001, dtype)
    assert array.dtype == dtype and not array.any()
    array[7] = 3
    tensor = shared_memory.tensor(array)
    np.testing.assert_array_equal(tensor, array)
    assert np.shares_memory(np.asarray(memoryview(tensor)), array)
    unaligned = shared_memory.tensor(array[1:])
    np.testing.assert_array_equal(unaligned, array[1:])
    assert not np.shares_memory(np.asarray(memoryview(unaligned)), array)
