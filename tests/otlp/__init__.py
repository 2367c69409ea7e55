"""Programs that export spans with the official SDKs, configured by the environment alone."""
