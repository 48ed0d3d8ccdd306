"""Runs generated code in throw-away containers without a network."""
