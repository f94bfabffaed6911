"""Buyers, as in Mozilla's payment server Solitude."""
