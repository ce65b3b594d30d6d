"""The public functions: each is one call of what a command of the same name does."""
