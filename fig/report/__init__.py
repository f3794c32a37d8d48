"""From tidy tables to tables, figures and the page that people read."""
