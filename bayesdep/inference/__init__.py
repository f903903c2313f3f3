"""A story and its data become a posterior."""
