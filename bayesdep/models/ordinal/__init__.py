"""Ordered categories by arm and visit."""
