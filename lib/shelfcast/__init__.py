"""shelfcast: weekly demand forecasts for every SKU and recommendations for every user."""

__version__ = "0.1.0"
