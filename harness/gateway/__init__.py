"""The one way by which all model traffic passes: wires, ledger, budget, providers."""
