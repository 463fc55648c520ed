"""The HTML page of a run: bounded reads of the lake, no JVM."""
