"""Figures of tables and runs, as SVG and PNG."""
