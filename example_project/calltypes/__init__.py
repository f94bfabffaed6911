"""Call types, as in Cisco PCCE's API, in XML and JSON."""
