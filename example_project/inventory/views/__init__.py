"""Views of the inventory API."""
