"""Wire formats. Each is a module of pure functions that convert between a service's API and neutral messages."""
