"""What a notebook of this environment has at hand."""
