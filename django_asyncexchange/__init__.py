"""Asynchronous HTTP calls for any Django view, in the protocol that the client already speaks.

A call passes through these modules, in this order:

=============  =================================================================================================
detect         ``middleware`` checks, for each mounted dialect, whether the call is asynchronous
admit          ``intake.admission`` refuses at once what the view would refuse anyway
capture        ``intake.capture`` turns the request into a value, ``identity.snapshot`` records the caller
accept         ``tasks.submit`` writes the ``models.AsyncTask`` row and commits before the 202 leaves
dispatch       ``tasks.dispatch`` decides when the task is ready, an executor of ``executors`` has a worker run it
run            ``worker.runner`` claims the task and runs the request through Django's handler, as its owner
record         ``store.bodies`` stores the response, ``tasks.lifecycle`` writes the final state
replay         ``endpoints.tasks`` passes a ``Snapshot`` to the dialect, and its response to the client
=============  =================================================================================================

To get to know the code, read ``protocol.states``, ``protocol.values``, ``middleware``, ``tasks.lifecycle`` and one of
``dialects``. A module imports from lower layers only (``docs/explanation/architecture.rst``).
"""
