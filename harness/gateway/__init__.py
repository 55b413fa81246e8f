"""All model traffic passes through the gateway: wires, ledger, budget, providers."""
