"""The studies' designs as generators with known truth, one file per study."""
