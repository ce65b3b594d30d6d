"""The plan of a seeded city: streets, districts, buildings, harbours."""
