"""All that differs between coding-agent CLIs, and nothing else; pure."""
