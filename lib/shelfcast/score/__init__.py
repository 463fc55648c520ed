"""Scoring: published models applied to every series and every user inside Spark's Python workers."""
