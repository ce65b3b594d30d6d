"""Products as providers deliver them: which files hold which polarisation, and what they say of their values."""
