"""A finance company's group points: JSON that both sides sign with HMAC-SHA256."""
