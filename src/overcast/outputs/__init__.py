"""Files that appear together: formats, styles, staging and locks."""
