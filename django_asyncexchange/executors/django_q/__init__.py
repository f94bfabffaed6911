"""django-q2: the executor, its brokers, the guard and the supervisor of its clusters, its settings and system checks.

Nothing here imports django-q2 when the executor's class is imported: that needs loaded apps and a correct
``Q_CLUSTER``.
"""

from __future__ import annotations

from .executor import DjangoQ as DjangoQ
