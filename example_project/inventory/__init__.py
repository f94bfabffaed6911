"""Products, stores, counterparties and sales of several accounts, and the reports about them."""
