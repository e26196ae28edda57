"""What every connector shares: manifests, transports, documents, simulators. The only user of httpx and pyodbc."""
