"""Between SAP's words and ours."""
