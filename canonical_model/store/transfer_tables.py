"""Tables of transfers between places."""
