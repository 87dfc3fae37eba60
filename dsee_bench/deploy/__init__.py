"""Exports of a finished model, loading them, and their costs: time, memory, bytes."""
