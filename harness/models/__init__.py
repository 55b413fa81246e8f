"""The servers of the models of cases."""
