"""The task and webhook addresses of every mounted dialect."""
