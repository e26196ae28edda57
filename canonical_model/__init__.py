"""What the retailer means: entities, ports and errors. No network, no environment."""
