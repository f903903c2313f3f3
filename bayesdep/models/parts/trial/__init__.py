"""What only trials over visits need: `Trial`."""
