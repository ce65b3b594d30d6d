"""The optical image: light, materials, clouds."""
