"""Tables of mappings corrected while running."""
