"""What a finance company is told, in its words."""
