"""The radar image: geometry, scattering, speckle."""
