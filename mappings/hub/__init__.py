"""Between the words that channels send us and ours."""
