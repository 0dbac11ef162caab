"""What people look at: plots, and later the report page."""
