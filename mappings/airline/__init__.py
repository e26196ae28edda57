"""What an airline is told, in its words."""
