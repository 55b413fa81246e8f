"""Translates between the wires, so that a CLI can use a provider whose wires it does not speak.

A request becomes one of the Chat Completions API (`chat.py`), and then one of the provider's wire. The answer comes
back in the same two steps. `litellm` does most of it; it sends nothing itself.
"""
