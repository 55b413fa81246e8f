"""The one way by which all model traffic passes: wires, meter, budget, providers."""
