"""A project with the apps that Django projects really use: ``tox -e interop``.

Everything is as ``startproject`` and the documentation of each app say. Not part of the short run: most
of these apps are not installed there.
"""
