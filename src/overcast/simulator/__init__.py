"""The simulated city: geometry, optical image and radar image, written as an ordinary folder data set."""
