"""DRP: distribution resource planning of stores, read by SQL."""
