"""What the tills say, in our words, and back."""
