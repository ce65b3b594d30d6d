"""The simulated city: geometry, optical image and radar image."""
