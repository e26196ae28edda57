"""A warehouse management system that speaks 奇门 (Qimen): signed XML over HTTP."""
