"""Products, stores, counterparties and sales of several accounts, with reports."""
