"""Raw logs in, bronze, silver and quarantine out."""
