"""The hub's own words: channels and master data sources that already speak the canonical model."""
