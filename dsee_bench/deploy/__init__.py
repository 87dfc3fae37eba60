"""The finished model on disk and back again, in every storage, and what it costs there: time, memory, bytes."""
