"""XML renderer: one element per key, a repeated element for a list."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

from rest_framework.renderers import BaseRenderer

NOT_IN_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 does not allow, not even escaped."""


class CallTypeXMLRenderer(BaseRenderer):
    media_type = "application/xml"
    format = "xml"

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Mapping[str, Any] | None = None
    ) -> bytes:
        if data is None or renderer_context is None:
            return b""
        is_error = renderer_context["response"].exception
        root = Element("apiErrors" if is_error else renderer_context["view"].xml_root)
        fill(root, data)
        return tostring(root, encoding="utf-8", xml_declaration=True)


def fill(element: Element, data: Any) -> None:
    """Append ``data`` to ``element``."""
    if not isinstance(data, Mapping):
        element.text = NOT_IN_XML.sub("\ufffd", str(data))
        return
    for name, value in data.items():
        for one in value if isinstance(value, list) else [value]:
            fill(SubElement(element, name), one)
