"""What the WMS says, in our words, and back."""
