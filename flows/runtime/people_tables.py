"""Tables of people, their sessions, and the audit chain."""
