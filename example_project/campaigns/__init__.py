"""Advertising campaigns, as Target@Mail.Ru's API knows them."""
