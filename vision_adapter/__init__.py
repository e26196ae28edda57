"""A mapping whose input is pixels. No network, no database."""
