"""What tests of the hub and of third-party connectors share."""
