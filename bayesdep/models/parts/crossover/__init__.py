"""What only crossover trials need: `Crossover`."""
