"""Advertising campaigns, as in Target@Mail.Ru's API."""
