"""What runs sessions: one module for what all engines share, one per engine."""
