"""What the CRM says of members and points, in our words."""
