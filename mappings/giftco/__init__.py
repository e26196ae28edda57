"""What we tell the gift supplier, in their words."""
