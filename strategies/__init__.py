"""A factory of tf.distribute strategies; knows nothing of tfxml."""
