"""What a training step does with a table of features, one row for each.

# N instances, D features, E features of all rows, U distinct features of a
# batch, H units
"""

from __future__ import annotations

import numpy as np

from tfxml.cpu import compiled


@compiled.loop
def distinct(feature_ids: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Returns the features that occur, in no order, [U].

    Args:
        feature_ids: [E].
        places: [D] int32, zeros before and after.
    """
    number = 0
    features = np.empty(min(len(feature_ids), len(places)), np.int64)
    for feature in feature_ids:
        if places[feature] == 0:
            places[feature] = 1
            features[number] = feature
            number += 1
    for feature in features[:number]:
        places[feature] = 0
    return features[:number]


@compiled.loop
def columns(
    splits: np.ndarray,
    feature_ids: np.ndarray,
    values: np.ndarray,
    features: np.ndarray,
    places: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns sparse rows [N, D] as columns, one for each distinct feature.

    Args:
        splits: [N + 1], where each row's features begin.
        feature_ids, values: [E].
        features: [U], those that occur.
        places: [D] int32, zeros before and after.

    Returns:
        Where each feature's entries begin, [U + 1], and the rows and values of
        the entries, [E].
    """
    for place in range(len(features)):
        places[features[place]] = place
    starts = np.zeros(len(features) + 1, np.int64)
    for feature in feature_ids:
        starts[places[feature] + 1] += 1
    for place in range(len(features)):
        starts[place + 1] += starts[place]
    ends = starts.copy()  # of what is written so far
    rows = np.empty(len(feature_ids), np.uint32)
    values_by_feature = np.empty(len(feature_ids), np.float32)
    for row in range(len(splits) - 1):
        for position in range(splits[row], splits[row + 1]):
            place = places[feature_ids[position]]
            rows[ends[place]] = row
            values_by_feature[ends[place]] = values[position]
            ends[place] += 1
    for feature in features:
        places[feature] = 0
    return starts, rows, values_by_feature


@compiled.loop
def column_products(
    starts: np.ndarray,
    rows: np.ndarray,
    values: np.ndarray,
    matrix: np.ndarray,
    products: np.ndarray,
) -> None:
    """Writes the products of columns and a matrix [N, H] to `products`.

    Args:
        starts: [U + 1], where each column's entries begin.
        rows, values: [E] of the entries of all columns; each has some.
        matrix: [N, H].
        products: [U, H].
    """
    num_units = matrix.shape[1]
    for column in range(len(products)):
        sums = products[column]
        position, end = starts[column], starts[column + 1]
        first, value_1 = matrix[rows[position]], values[position]
        for unit in range(num_units):
            sums[unit] = value_1 * first[unit]
        position += 1
        while position + 3 < end:  # four at a time read and write the sums once
            first = matrix[rows[position]]
            second = matrix[rows[position + 1]]
            third = matrix[rows[position + 2]]
            fourth = matrix[rows[position + 3]]
            value_1, value_2 = values[position], values[position + 1]
            value_3, value_4 = values[position + 2], values[position + 3]
            for unit in range(num_units):
                sums[unit] += (
                    value_1 * first[unit]
                    + value_2 * second[unit]
                    + value_3 * third[unit]
                    + value_4 * fourth[unit]
                )
            position += 4
        while position < end:
            first, value_1 = matrix[rows[position]], values[position]
            for unit in range(num_units):
                sums[unit] += value_1 * first[unit]
            position += 1


@compiled.loop
def lazy_adam(
    rows: np.ndarray,
    gradients: np.ndarray,
    table: np.ndarray,
    momentum: np.ndarray,
    velocity: np.ndarray,
    constants: np.ndarray,
) -> None:
    """Takes a step of `lazy_optimizers.LazyAdam` in some rows of a table.

    Args:
        rows: [U], distinct.
        gradients: [U, H].
        table, momentum, velocity: [D, H], which are changed.
        constants: float32: the rate of the step, 1 - beta_1, 1 - beta_2 and
            epsilon.
    """
    rate, share_1, share_2 = constants[0], constants[1], constants[2]
    epsilon = constants[3]
    num_units = gradients.shape[1]
    for place in range(len(rows)):
        gradient, weights = gradients[place], table[rows[place]]
        m, v = momentum[rows[place]], velocity[rows[place]]
        for unit in range(num_units):
            of_unit = gradient[unit]
            m[unit] += (of_unit - m[unit]) * share_1
            v[unit] += (of_unit * of_unit - v[unit]) * share_2
            weights[unit] -= rate * m[unit] / (np.sqrt(v[unit]) + epsilon)
