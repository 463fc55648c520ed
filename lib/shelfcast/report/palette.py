"""The page's colours, light and dark: style sheet and charts take them from here."""

# name: (light, dark). Text colours reach a contrast of at least 4.5 on paper and card in both schemes.
COLOURS: dict[str, tuple[str, str]] = {
    "paper": ("#faf7f1", "#13171b"),
    "card": ("#fffefb", "#1a1f25"),
    "ink": ("#1d2630", "#e9e6df"),
    "soft": ("#57616d", "#a6afb9"),
    "line": ("#ddd6c9", "#323a43"),
    "accent": ("#0b655d", "#5fcabb"),
    "band": ("#b9dad3", "#1f4a47"),
    "truth": ("#b2470f", "#f5a35f"),
    "plan": ("#6a4c93", "#bd9fe6"),
    "quiet": ("#9aa2ab", "#6c7680"),
}


def light(name: str) -> str:
    """The light colour, which the page's script swaps for the dark one where the reader prefers that."""
    return COLOURS[name][0]


def swaps() -> dict[str, str]:
    """Light colour → dark colour."""
    return dict(COLOURS.values())
