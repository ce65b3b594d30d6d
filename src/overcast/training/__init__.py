"""Training on Lightning: one module for every method, rounds with validation and checkpoints, exact resumption."""
