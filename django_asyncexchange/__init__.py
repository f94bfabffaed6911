"""Any HTTP call of a Django project, answered later, byte for byte, in the wire language its client already speaks.

A map. A call walks through these modules once, in this order, and never backwards:

=============  ==========================================================================================
detect         ``middleware`` asks each mounted dialect whether the client wants an answer later
admit          ``admission`` refuses now what the view would refuse anyway
capture        ``capture`` turns the request into a value without credentials, ``identity`` remembers whose it is
store          ``submission`` writes the ``models.AsyncTask`` row and commits before the 202 leaves
enqueue        ``turns`` decides when, ``executors`` carry the task's id, and nothing else, to a worker
execute        ``worker`` claims the row and runs the call through Django's handler, as its owner
record         ``bodies`` keeps the answer, ``lifecycle`` moves the row to its final state
render         ``views`` hand a ``messages.Snapshot`` to the dialect, and its answer to the client
=============  ==========================================================================================

Read ``states``, ``messages``, ``submission``, ``lifecycle`` and one file of ``dialects``: that is the whole idea.
Modules import from lower floors only (``docs/architecture.rst`` draws them).
"""
