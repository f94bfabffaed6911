"""The API's endpoints, one subject a file."""
