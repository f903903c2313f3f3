"""States of patients at several times, and how they change."""
