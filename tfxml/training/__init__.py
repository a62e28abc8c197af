"""The loop, the optimizers and the checkpoints."""
