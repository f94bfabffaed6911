"""For a project's own views of Django REST framework: whole collections, filters, serializers, renderers."""
