"""Points: one ledger for every programme of a group; how points are earned, spent, exchanged and settled."""
