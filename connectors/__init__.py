"""How each outside system speaks; one folder a system, and the kit they share."""
