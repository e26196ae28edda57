"""The doors: REST, the command line, the worker."""
