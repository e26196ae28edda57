"""A store till system (POS) with a REST interface of its own."""
