"""Removes persons from a lake, and shows that they are gone."""
