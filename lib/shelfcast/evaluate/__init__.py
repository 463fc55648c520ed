"""Measures what was scored against what then happened, beside baselines that know the same past."""
