"""What the business does: durable flows over the canonical model."""
