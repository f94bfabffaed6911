"""Call types, as Cisco's contact centre configures them, in XML and in JSON."""
