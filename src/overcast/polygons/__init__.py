"""From probability to footprints: regions, touching buildings apart, squared outlines."""
