"""An airline's frequent-flyer programme: REST with JSON, let in by OAuth2 client credentials."""
