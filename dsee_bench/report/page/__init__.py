"""The results as one HTML file."""
