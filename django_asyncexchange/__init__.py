"""Any HTTP call of a Django project, answered later, byte for byte, in the wire language its client already speaks.

A map. A call walks through these rooms once, in this order:

=============  ==========================================================================================
detect         ``middleware`` asks each mounted dialect whether the client wants an answer later
admit          ``intake.admission`` refuses now what the view would refuse anyway
capture        ``intake.capture`` turns the request into a value, ``identity.snapshot`` remembers whose it is
accept         ``tasks.submit`` writes the ``models.AsyncTask`` row and commits before the 202 leaves
dispatch       ``tasks.dispatch`` decides when, ``executors`` carry the task's id, and nothing else, to a worker
run            ``worker.runner`` claims the row and runs the call through Django's handler, as its owner
record         ``store.bodies`` keeps the answer, ``tasks.lifecycle`` moves the row to its final state
replay         ``endpoints.tasks`` hand a ``Snapshot`` to the dialect, and its answer to the client
=============  ==========================================================================================

Read ``protocol.states``, ``protocol.values``, ``middleware``, ``tasks.lifecycle`` and one of ``dialects``: that is the
whole idea. A module imports from lower layers only (``docs/explanation/architecture.rst``).
"""
