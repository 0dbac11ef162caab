"""The search for the best quantization within budgets: plans, their measurement, repairs, and the choice."""
