"""A project with the apps that Django projects really have: ``tox -e interop``.

Everything is as ``startproject`` and the documentation of each app say. Not part of the short form of the tests: most
of these apps are not installed there.
"""
