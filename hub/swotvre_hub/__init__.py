"""The hub of swot-vre: settings, sessions, spawners and the command line."""
