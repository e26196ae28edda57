"""How the words of an outside system become ours, and back."""
