"""Tables of the SOAP door: accounts and used nonces."""
