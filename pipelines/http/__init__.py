"""One polite request to an API: decoded JSON or a typed error."""
