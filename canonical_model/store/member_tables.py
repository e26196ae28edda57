"""Tables of members and points entries, as their sources tell them."""
