"""For a project's own DRF views: whole collections, filters, serializers, renderers."""
