"""XML parser. Document types and entities are rejected: they can exhaust memory and read files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any
from xml.etree.ElementTree import ParseError as Malformed

from defusedxml import DefusedXmlException, ElementTree
from django.utils.datastructures import MultiValueDict
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser


class CallTypeXMLParser(BaseParser):
    """Parses ``<callType>`` like a form: element name → text. An empty element has no value."""

    media_type = "application/xml"
    root = "callType"

    def parse(
        self, stream: IO[bytes], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> MultiValueDict[str, str]:
        try:
            element = ElementTree.parse(stream, forbid_dtd=True).getroot()
        except DefusedXmlException:
            raise ParseError("Document types and entities are not allowed in XML.") from None
        except (Malformed, LookupError, ValueError) as error:
            raise ParseError(f"The XML cannot be read: {error}") from None
        if element.tag != self.root:
            raise ParseError(f"The XML has to be a {self.root}.")
        return MultiValueDict({child.tag: [child.text or ""] for child in element})
