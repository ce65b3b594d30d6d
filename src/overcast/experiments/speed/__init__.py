"""How fast scenes are mapped, on what, and what speed costs in accuracy."""
