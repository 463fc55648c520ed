"""Generates behaviour logs of any size in which everything is known: effects, defects, and what cleaning must find."""
