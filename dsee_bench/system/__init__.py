"""Files and processes: written whole or not at all, one at a time, several together, stopped in good order."""
