"""Routing: where an order ships from. Pure decisions over a snapshot: no database, no clock but the fuse.

problem ──filters──> places ──tiers──> scores ──cover──> plan     the same problem and rules give the same plan
"""
