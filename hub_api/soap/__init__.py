"""The hub's SOAP door: ``POST /soap/v1``, its WSDL at ``GET /soap/v1?wsdl``."""
