"""Networks. They know tensors, not files."""
