"""A map of one scene in the browser: tiles on demand, the page that shows them, and the same page as one file."""
