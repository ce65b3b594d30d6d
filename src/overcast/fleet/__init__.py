"""Many scenes, on one machine or many."""
