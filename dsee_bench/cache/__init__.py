"""Cached states: models after some stages, stored for other runs."""
