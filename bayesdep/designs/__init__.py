"""The studies' designs as generators with known truth, one file a study."""
