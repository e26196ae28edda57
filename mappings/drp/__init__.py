"""Mappings of the DRP."""
