"""The SQL of the canonical model: tables, functions, one repository a concept."""
