"""What only panels of measurements need: `Cytokines`."""
