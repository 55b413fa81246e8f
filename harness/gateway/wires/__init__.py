"""Wire formats: one module each, pure functions between bytes of a service's API and neutral messages."""
