"""From probability to footprints: regions, separated touching buildings, squared outlines."""
