"""What searches: data and splits, metrics, statistics, budgets, races on cells, studies."""
