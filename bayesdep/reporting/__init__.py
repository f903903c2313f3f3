"""The posterior leaves the house."""
