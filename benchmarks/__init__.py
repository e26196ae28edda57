"""Peers and limits measured beside the hub in one run: only ratios count, this machine's speed does not."""
