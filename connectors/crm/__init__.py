"""A member system (CRM) that answers and pushes by SOAP."""
