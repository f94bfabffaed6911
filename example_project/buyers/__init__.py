"""Buyers, as Mozilla's payment server Solitude knew them."""
