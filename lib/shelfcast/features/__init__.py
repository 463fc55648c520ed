"""From silver to gold: demand, covariates, series, windows and interactions, all seen from one as-of date."""
