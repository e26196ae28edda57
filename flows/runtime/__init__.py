"""The ground every flow stands on: settings, database, broker, telemetry, runner, ledgers."""
