"""Training: the step on the driver starts ranks, the ranks read their own share of the tables and train together."""
