"""The example project: APIs that can be called asynchronously."""
