"""The walkthrough of ``demo.py``: real servers, a client that prints HTTP, and one module per dialect."""
