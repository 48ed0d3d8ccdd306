"""Attacks on the sandbox from within, and the proof that each of them was held.

`inside_*.py` run in the container and nowhere else; `suite.py` judges them from outside.
"""
