"""Wire formats. Each is a module of pure functions between the bytes of a service's API and neutral messages."""
